//! Connections as the service uses them: every statement measured, and traced where it is known
//! whose doing it is.

use opentelemetry::Context;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    TransactionOptions, TransactionTrait, prelude::async_trait,
};

use super::{Held, Pool, statement::Running};
use crate::telemetry::{graphql::Scope, runtime::dump::parkable};

impl Pool {
    /// For statements that are the doing of `parent`; without one they are measured but not
    /// traced.
    #[must_use]
    pub fn session(&self, parent: Option<&Context>) -> Session<'_> {
        Session { pool: self, parent: parent.cloned() }
    }

    /// Begins a transaction that is the doing of `parent`.
    ///
    /// # Errors
    /// If no connection can be had in time, or the database refuses.
    pub async fn begin(
        &self,
        parent: Option<&Context>,
        options: TransactionOptions,
    ) -> Result<Transaction, DbErr> {
        let held = self.acquire(parent).await?;
        let running = Running::start(self.known("BEGIN"), parent);
        let result = held.attend(held.connection().begin_with_options(options)).await;
        running.end(&result, None);
        Ok(Transaction { inner: result?, pool: self.clone(), parent: parent.cloned(), held })
    }

    /// Runs a statement on a connection that is held.
    async fn run<T: Given>(
        &self,
        held: &Held,
        parent: Option<&Context>,
        mut statement: Statement,
        execute: impl AsyncFnOnce(Statement) -> Result<T, DbErr>,
    ) -> Result<T, DbErr> {
        let running = Running::start(self.known(&statement.sql), parent);
        let scope = parent.and_then(|parent| parent.get::<Scope>());
        if let Some(scope) = scope {
            scope.count_statement();
        }
        self.0.options.comments.add_to(&mut statement.sql, scope, running.span_context());
        let result = held.attend(parkable(execute(statement))).await;
        let rows = result.as_ref().ok().and_then(Given::rows);
        running.end(&result, rows);
        result
    }

    fn statement(&self, sql: &str) -> Statement {
        Statement::from_string(self.backend(), sql)
    }
}

/// Statements on any connection of a pool, each on its own.
#[derive(Clone)]
pub struct Session<'a> {
    pool: &'a Pool,
    parent: Option<Context>,
}

/// Statements of one transaction. Rolled back if dropped.
pub struct Transaction {
    // Dropped before `held`: the connection is back before the next one may ask for it.
    inner: DatabaseTransaction,
    pool: Pool,
    parent: Option<Context>,
    held: Held,
}

impl Transaction {
    /// Makes the transaction's changes last.
    ///
    /// # Errors
    /// If they did not.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Self { inner, pool, parent, held } = self;
        let running = Running::start(pool.known("COMMIT"), parent.as_ref());
        let result = held.attend(inner.commit()).await;
        running.end(&result, None);
        drop(held);
        result
    }

    /// The transaction itself, for libraries that take no other.
    #[must_use]
    pub const fn inner(&self) -> &DatabaseTransaction {
        &self.inner
    }
}

/// What a statement gives back.
trait Given {
    /// How many rows, if it gives rows at all.
    fn rows(&self) -> Option<usize>;
}

impl Given for Option<QueryResult> {
    fn rows(&self) -> Option<usize> {
        Some(usize::from(self.is_some()))
    }
}

impl Given for Vec<QueryResult> {
    fn rows(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl Given for ExecResult {
    fn rows(&self) -> Option<usize> {
        None
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Session<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let held = self.pool.acquire(self.parent.as_ref()).await?;
        let connection = held.connection();
        let run = async |statement| connection.execute_raw(statement).await;
        self.pool.run(&held, self.parent.as_ref(), statement, run).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let held = self.pool.acquire(self.parent.as_ref()).await?;
        let connection = held.connection();
        let run = async |statement: Statement| connection.execute_unprepared(&statement.sql).await;
        self.pool.run(&held, self.parent.as_ref(), self.pool.statement(sql), run).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let held = self.pool.acquire(self.parent.as_ref()).await?;
        let connection = held.connection();
        let run = async |statement| connection.query_one_raw(statement).await;
        self.pool.run(&held, self.parent.as_ref(), statement, run).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let held = self.pool.acquire(self.parent.as_ref()).await?;
        let connection = held.connection();
        let run = async |statement| connection.query_all_raw(statement).await;
        self.pool.run(&held, self.parent.as_ref(), statement, run).await
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let run = async |statement| self.inner.execute_raw(statement).await;
        self.pool.run(&self.held, self.parent.as_ref(), statement, run).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let run = async |statement: Statement| self.inner.execute_unprepared(&statement.sql).await;
        self.pool.run(&self.held, self.parent.as_ref(), self.pool.statement(sql), run).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let run = async |statement| self.inner.query_one_raw(statement).await;
        self.pool.run(&self.held, self.parent.as_ref(), statement, run).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let run = async |statement| self.inner.query_all_raw(statement).await;
        self.pool.run(&self.held, self.parent.as_ref(), statement, run).await
    }
}
