//! Connections behind SeaORM's traits: every statement measured, and traced where it has a parent.

use opentelemetry::Context;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement, prelude::async_trait,
};
use tokio::sync::Mutex;

use super::{
    Pool,
    checkout::PooledConnection,
    driver::{Execute, FetchAll, FetchOptional, Query, RawSql},
};

impl Pool {
    /// Returns connections for statements, each on its own, that are children of `parent`; without one
    /// they are measured but not traced.
    #[must_use]
    pub fn session(&self, parent: Option<&Context>) -> Session<'_> {
        Session { pool: self, parent: parent.cloned() }
    }

    /// Begins a transaction whose statements are children of `parent`. On SQLite it takes the write lock at
    /// once: one that reads first and then wants to write would fail with "database is locked" if
    /// another had written in between.
    ///
    /// # Errors
    /// If no connection can be had in time, or the database returns an error.
    pub async fn begin(&self, parent: Option<&Context>) -> Result<Transaction, DbErr> {
        let mut connection = self.acquire(parent).await?;
        let span = self.0.statements.start("BEGIN", parent);
        let result = connection.begin().await;
        span.end(&result, None);
        result?;
        Ok(Transaction {
            connection: Mutex::new(connection),
            pool: self.clone(),
            parent: parent.cloned(),
        })
    }

    /// Runs a statement on a connection.
    async fn run<A: Query>(
        &self,
        connection: &mut PooledConnection,
        parent: Option<&Context>,
        statement: Statement,
        query: impl FnOnce(Statement) -> A + Send,
    ) -> Result<A::Output, DbErr> {
        let run = |statement| connection.run(query(statement));
        self.0.statements.run(parent, statement, run, A::rows).await
    }

    /// Runs a statement on any connection.
    async fn run_on_any<A: Query>(
        &self,
        parent: Option<&Context>,
        statement: Statement,
        query: impl FnOnce(Statement) -> A + Send,
    ) -> Result<A::Output, DbErr> {
        let mut connection = self.acquire(parent).await?;
        self.run(&mut connection, parent, statement, query).await
    }

    fn statement(&self, sql: &str) -> Statement {
        Statement::from_string(self.0.target.backend(), sql)
    }
}

fn script(statement: Statement) -> RawSql {
    RawSql(statement.sql)
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
        let mut connection = self.pool.acquire(parent).await?;
        connection.in_transaction = true;
        let result = self.pool.run(&mut connection, parent, statement, FetchAll).await;
        connection.in_transaction = result.is_err();
        result
    }
}

/// Statements of one transaction. Rolled back if dropped.
pub struct Transaction {
    connection: Mutex<PooledConnection>,
    pool: Pool,
    parent: Option<Context>,
}

impl Transaction {
    /// Makes the transaction's changes last.
    ///
    /// # Errors
    /// If they did not.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.commit_after(Vec::new()).await
    }

    /// Executes these statements, without parameters, and makes the transaction's changes last, in one
    /// round trip.
    ///
    /// # Errors
    /// If they did not.
    pub async fn commit_after(self, mut statements: Vec<String>) -> Result<(), DbErr> {
        let Self { connection, pool, parent } = self;
        let mut connection = connection.into_inner();
        let span = pool.0.statements.start("COMMIT", parent.as_ref());
        statements.push("COMMIT".into());
        let result = connection.run(RawSql(statements.join("; "))).await;
        span.end(&result, None);
        connection.in_transaction = result.is_err();
        result.map(drop)
    }

    async fn run<A: Query>(
        &self,
        statement: Statement,
        query: impl FnOnce(Statement) -> A + Send,
    ) -> Result<A::Output, DbErr> {
        self.pool
            .run(&mut *self.connection.lock().await, self.parent.as_ref(), statement, query)
            .await
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
        self.pool.run_on_any(self.parent.as_ref(), statement, FetchOptional).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.pool.run_on_any(self.parent.as_ref(), statement, FetchAll).await
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
        self.run(statement, FetchOptional).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.run(statement, FetchAll).await
    }
}
