//! Connections as the service uses them: every statement measured, and traced where it is known
//! whose doing it is.

use opentelemetry::Context;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement, prelude::async_trait,
};
use tokio::sync::Mutex;

use super::{
    Pool,
    driver::{All, Ask, Execute, One, Script},
    held::Held,
    statement::Running,
};
use crate::telemetry::graphql::Scope;

impl Pool {
    /// For statements that are the doing of `parent`; without one they are measured but not
    /// traced.
    #[must_use]
    pub fn session(&self, parent: Option<&Context>) -> Session<'_> {
        Session { pool: self, parent: parent.cloned() }
    }

    /// Begins a transaction that is the doing of `parent`. On SQLite it takes the write lock at
    /// once: one that reads first and then wants to write would fail with "database is locked" if
    /// another had written in between.
    ///
    /// # Errors
    /// If no connection can be had in time, or the database refuses.
    pub async fn begin(&self, parent: Option<&Context>) -> Result<Transaction, DbErr> {
        let mut held = self.acquire(parent).await?;
        let running = Running::start(self.known("BEGIN"), parent);
        let result = held.begin().await;
        running.end(&result, None);
        result?;
        Ok(Transaction { held: Mutex::new(held), pool: self.clone(), parent: parent.cloned() })
    }

    /// Runs a statement on a connection that is held.
    async fn run<A: Ask>(
        &self,
        held: &mut Held,
        parent: Option<&Context>,
        mut statement: Statement,
        ask: impl FnOnce(Statement) -> A + Send,
    ) -> Result<A::Answer, DbErr> {
        let running = Running::start(self.known(&statement.sql), parent);
        let scope = parent.and_then(|parent| parent.get::<Scope>());
        if let Some(scope) = scope {
            scope.count_statement();
        }
        self.0.options.comments.add_to(&mut statement.sql, scope, running.span_context().as_ref());
        let result = held.ask(ask(statement)).await;
        let rows = result.as_ref().ok().and_then(A::rows);
        running.end(&result, rows);
        result
    }

    /// Runs a statement on any connection.
    async fn run_on_any<A: Ask>(
        &self,
        parent: Option<&Context>,
        statement: Statement,
        ask: impl FnOnce(Statement) -> A + Send,
    ) -> Result<A::Answer, DbErr> {
        let mut held = self.acquire(parent).await?;
        self.run(&mut held, parent, statement, ask).await
    }

    fn statement(&self, sql: &str) -> Statement {
        Statement::from_string(self.0.target.backend(), sql)
    }
}

fn script(statement: Statement) -> Script {
    Script(statement.sql)
}

/// Statements on any connection of a pool, each on its own.
#[derive(Clone)]
pub struct Session<'a> {
    pool: &'a Pool,
    parent: Option<Context>,
}

impl Session<'_> {
    /// Runs a text that begins a transaction, changes something and commits; on SQLite, where a
    /// text may have several statements. What fails or is not waited for is rolled back.
    ///
    /// # Errors
    /// If no connection can be had in time, or one of the statements fails.
    pub async fn transact(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let parent = self.parent.as_ref();
        let mut held = self.pool.acquire(parent).await?;
        held.in_transaction = true;
        let result = self.pool.run(&mut held, parent, statement, All).await;
        held.in_transaction = result.is_err();
        result
    }
}

/// Statements of one transaction. Rolled back if dropped.
pub struct Transaction {
    held: Mutex<Held>,
    pool: Pool,
    parent: Option<Context>,
}

impl Transaction {
    /// Makes the transaction's changes last.
    ///
    /// # Errors
    /// If they did not.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Self { held, pool, parent } = self;
        let mut held = held.into_inner();
        let running = Running::start(pool.known("COMMIT"), parent.as_ref());
        let result = held.ask(Script("COMMIT".into())).await;
        running.end(&result, None);
        held.in_transaction = result.is_err();
        result.map(drop)
    }

    async fn run<A: Ask>(
        &self,
        statement: Statement,
        ask: impl FnOnce(Statement) -> A + Send,
    ) -> Result<A::Answer, DbErr> {
        self.pool.run(&mut *self.held.lock().await, self.parent.as_ref(), statement, ask).await
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Session<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.0.target.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.pool.run_on_any(self.parent.as_ref(), statement, Execute).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.pool.run_on_any(self.parent.as_ref(), self.pool.statement(sql), script).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.pool.run_on_any(self.parent.as_ref(), statement, One).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.pool.run_on_any(self.parent.as_ref(), statement, All).await
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.0.target.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.run(statement, Execute).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.run(self.pool.statement(sql), script).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.run(statement, One).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.run(statement, All).await
    }
}
