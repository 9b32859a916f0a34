//! Every SQL statement goes through [`Traced`], which gives it a span.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, Statement, TransactionOptions, TransactionTrait, prelude::async_trait,
};
use tracing::{Instrument, Span, debug_span};

/// A connection or transaction whose statements are traced.
#[derive(Debug)]
pub struct Traced<C>(C);

impl<C> Traced<C> {
    /// Traces the statements of `connection`.
    pub const fn new(connection: C) -> Self {
        Self(connection)
    }
}

impl Traced<DatabaseConnection> {
    /// Begins a transaction.
    ///
    /// # Errors
    /// If no connection can be had, or the database refuses.
    pub async fn begin(
        &self,
        options: TransactionOptions,
    ) -> Result<Traced<DatabaseTransaction>, DbErr> {
        let begin = self.0.begin_with_options(options);
        Ok(Traced(begin.instrument(self.span("BEGIN")).await?))
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// If there is none.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.0.ping().await
    }

    /// Closes all connections of the pool.
    ///
    /// # Errors
    /// If one cannot be closed.
    pub async fn close(&self) -> Result<(), DbErr> {
        self.0.clone().close().await
    }
}

impl Traced<DatabaseTransaction> {
    /// Makes the transaction's changes last.
    ///
    /// # Errors
    /// If they did not.
    pub async fn commit(self) -> Result<(), DbErr> {
        let span = self.span("COMMIT");
        self.0.commit().instrument(span).await
    }

    /// The transaction itself, for libraries that take no other.
    #[must_use]
    pub const fn inner(&self) -> &DatabaseTransaction {
        &self.0
    }
}

impl<C: ConnectionTrait> Traced<C> {
    fn span(&self, sql: &str) -> Span {
        let system = match self.0.get_database_backend() {
            DbBackend::Postgres => "postgresql",
            _ => "sqlite",
        };
        let operation = sql.split_whitespace().next().unwrap_or_default();
        debug_span!(
            "sql",
            db.system.name = system,
            db.operation.name = operation,
            db.query.text = sql,
        )
    }
}

#[async_trait::async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Traced<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let span = self.span(&statement.sql);
        self.0.execute_raw(statement).instrument(span).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.0.execute_unprepared(sql).instrument(self.span(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let span = self.span(&statement.sql);
        self.0.query_one_raw(statement).instrument(span).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let span = self.span(&statement.sql);
        self.0.query_all_raw(statement).instrument(span).await
    }
}
