//! The operations of a document, by names of the schema.

use std::{collections::BTreeSet, sync::Arc};

use async_graphql::{
    Name, Positioned,
    parser::types::{
        DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
        SelectionSet,
    },
    registry::Registry,
};

use super::OTHER;
use crate::graphql::{Identity, field::coordinate};

/// The root field of operations with several.
const MULTIPLE: &str = "_MULTIPLE";
/// Fragments in one another that are looked into for root fields.
const MAX_DEPTH: usize = 32;

/// The operations of a document.
#[derive(Default)]
pub(super) struct Candidates(Vec<Candidate>);

/// An operation of a document.
pub(super) struct Candidate {
    name: Option<String>,
    pub kind: OperationType,
    /// Its root field, if it has one only.
    root_field: Option<String>,
}

impl Candidates {
    pub fn new(document: &ExecutableDocument) -> Self {
        let operations = match &document.operations {
            DocumentOperations::Single(operation) => vec![(None, operation)],
            DocumentOperations::Multiple(operations) => {
                operations.iter().map(|(name, operation)| (Some(name), operation)).collect()
            }
        };
        let candidate = |(name, operation): (Option<&Name>, &Positioned<OperationDefinition>)| {
            let mut fields = BTreeSet::new();
            root_fields(document, &operation.node.selection_set.node, &mut fields, MAX_DEPTH);
            let mut fields = fields.into_iter();
            let only = fields.next().filter(|_| fields.next().is_none());
            Candidate {
                name: name.map(ToString::to_string),
                kind: operation.node.ty,
                root_field: only.map(str::to_owned),
            }
        };
        Self(operations.into_iter().map(candidate).collect())
    }

    /// Returns the operation that a request for `name` executes, which is the only one where it has none.
    pub fn select(&self, name: Option<&str>) -> Option<&Candidate> {
        match (name, &self.0[..]) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), all) => all.iter().find(|it| it.name.as_deref() == name),
        }
    }
}

/// The fields that are selected at the root, through as many fragments in one another as `depth`.
fn root_fields<'a>(
    document: &'a ExecutableDocument,
    selections: &'a SelectionSet,
    fields: &mut BTreeSet<&'a str>,
    depth: usize,
) {
    let Some(depth) = depth.checked_sub(1) else { return };
    for selection in &selections.items {
        match &selection.node {
            Selection::Field(field) => {
                fields.insert(field.node.name.node.as_str());
            }
            Selection::InlineFragment(fragment) => {
                root_fields(document, &fragment.node.selection_set.node, fields, depth);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    root_fields(document, &fragment.node.selection_set.node, fields, depth);
                }
            }
        }
    }
}

impl Candidate {
    /// What telemetry calls it: by names of the schema, and never by those of a client.
    pub fn identity(&self, registry: &Registry) -> Identity {
        let root = match self.kind {
            OperationType::Query => Some(&registry.query_type),
            OperationType::Mutation => registry.mutation_type.as_ref(),
            OperationType::Subscription => registry.subscription_type.as_ref(),
        };
        let is_known = |name: &&String| {
            let root = root.and_then(|root| registry.types.get(root));
            root.is_some_and(|root| root.field_by_name(name).is_some())
        };
        let root_field = match (&self.root_field, root) {
            (None, _) => MULTIPLE,
            (Some(name), Some(root)) if is_known(&name) => coordinate(root, name),
            _ => OTHER,
        };
        Identity {
            kind: self.kind,
            root_field,
            name: self.name.as_deref().map(Arc::from),
            label: None,
            hash: None,
            is_known: false,
        }
    }
}
