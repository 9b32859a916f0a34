//! Which operations to list.

use std::{cmp::Reverse, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    OperationSummary, StoreStats,
    retention::{Group, Stored},
};

/// Which operations of stored traces to list, and how many.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperationsQuery {
    /// Which come first.
    pub order: Order,
    /// Which are listed.
    pub only: Selection,
    /// Those with this root field; all by default.
    pub root_field: Option<String>,
    /// How many at most.
    pub limit: usize,
}

impl Default for OperationsQuery {
    /// The 100 latest.
    fn default() -> Self {
        Self { order: Order::Recent, only: Selection::All, root_field: None, limit: 100 }
    }
}

/// Which operations come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The latest.
    Recent,
    /// Those that took longest.
    Slowest,
}

/// Which operations are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// All.
    All,
    /// Those with an error.
    Failed,
    /// Those with slow polls.
    SlowPolls,
}

/// Operations, and how full the store is.
#[derive(Clone, Debug, Serialize)]
pub struct Operations {
    /// As many as were asked for.
    pub operations: Vec<ListedOperation>,
    /// The store.
    pub store: StoreStats,
}

/// An operation, and what is known of its trace.
#[derive(Clone, Debug, Serialize)]
pub struct ListedOperation {
    /// The operation.
    #[serde(flatten)]
    pub operation: OperationSummary,
    /// Statements of the trace.
    pub statements: u32,
    kept: Group,
}

impl OperationsQuery {
    pub(super) fn select(&self, traces: &[Arc<Stored>]) -> Vec<ListedOperation> {
        let operations = traces
            .iter()
            .flat_map(|stored| stored.trace.operations.iter().map(move |it| (it, stored)));
        let mut found: Vec<_> = operations.filter(|(it, _)| self.selects(it)).collect();
        match self.order {
            Order::Recent => found.sort_by_key(|(operation, _)| Reverse(operation.start)),
            Order::Slowest => found.sort_by_key(|(operation, _)| Reverse(operation.duration)),
        }
        let listed = |(operation, stored): (&OperationSummary, &Arc<Stored>)| ListedOperation {
            operation: operation.clone(),
            statements: stored.trace.statements,
            kept: stored.reason,
        };
        found.into_iter().take(self.limit).map(listed).collect()
    }

    fn selects(&self, operation: &OperationSummary) -> bool {
        let is_listed = match self.only {
            Selection::All => true,
            Selection::Failed => operation.error.is_some(),
            Selection::SlowPolls => operation.has_slow_polls(),
        };
        let root_field = self.root_field.as_deref();
        is_listed && root_field.is_none_or(|it| operation.root_field == Some(it))
    }
}
