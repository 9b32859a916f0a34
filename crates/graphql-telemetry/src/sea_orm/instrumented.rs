//! Any connection of SeaORM, with a span and metrics for each of its statements.

use std::{fmt, pin::Pin};

use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult,
    Statement, TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
    prelude::async_trait,
};

use super::{CommentMode, DatabaseInfo, Statements, current};

/// A connection, pool or transaction of SeaORM whose statements are measured, and are children of the
/// span in which they are executed: of a field, a batch, or any other.
///
/// The duration of a statement includes the time that a pool took for a connection, which only a pool can
/// tell apart ([`PoolMetrics`](super::PoolMetrics)).
///
/// ```
/// # async fn connect() -> Result<(), sea_orm::DbErr> {
/// use graphql_telemetry::sea_orm::Instrumented;
/// let url = "postgres://shop@localhost/shop";
/// let db = Instrumented::new(sea_orm::Database::connect(url).await?, url);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Instrumented<C> {
    connection: C,
    statements: Statements,
}

impl<C: ConnectionTrait> Instrumented<C> {
    /// Returns `connection` with telemetry that names the database as its URL, or another
    /// [`DatabaseInfo`], does.
    pub fn new(connection: C, database: impl Into<DatabaseInfo>) -> Self {
        let statements = Statements::new(connection.get_database_backend(), database.into());
        Self { connection, statements }
    }

    /// Sets which comments statements get; none by default.
    #[must_use]
    pub fn comments(mut self, mode: CommentMode) -> Self {
        self.statements = self.statements.with_comments(mode);
        self
    }
}

impl<C> Instrumented<C> {
    /// Returns the connection without telemetry.
    pub fn into_inner(self) -> C {
        self.connection
    }

    fn statement(backend: DbBackend, sql: &str) -> Statement {
        Statement::from_string(backend, sql)
    }

    /// A transaction on this connection, of which `begin` makes what it is.
    async fn begin_by<T>(
        &self,
        begin: impl Future<Output = Result<T, DbErr>> + Send,
    ) -> Result<Instrumented<T>, DbErr> {
        let span = self.statements.start("BEGIN", current().as_ref());
        let result = begin.await;
        span.end(&result, None);
        Ok(Instrumented { connection: result?, statements: self.statements.clone() })
    }
}

impl<C: fmt::Debug> fmt::Debug for Instrumented<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instrumented").field(&self.connection).finish()
    }
}

#[async_trait::async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Instrumented<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.connection.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let run = |statement| self.connection.execute_raw(statement);
        self.statements.run(current().as_ref(), statement, run, |_| None).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let statement = Self::statement(self.get_database_backend(), sql);
        let run =
            async |statement: Statement| self.connection.execute_unprepared(&statement.sql).await;
        self.statements.run(current().as_ref(), statement, run, |_| None).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let run = |statement| self.connection.query_one_raw(statement);
        let rows = |row: &Option<QueryResult>| Some(usize::from(row.is_some()));
        self.statements.run(current().as_ref(), statement, run, rows).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let run = |statement| self.connection.query_all_raw(statement);
        let rows = |rows: &Vec<QueryResult>| Some(rows.len());
        self.statements.run(current().as_ref(), statement, run, rows).await
    }

    fn support_returning(&self) -> bool {
        self.connection.support_returning()
    }

    fn is_mock_connection(&self) -> bool {
        self.connection.is_mock_connection()
    }
}

#[async_trait::async_trait]
impl<C: TransactionTrait> TransactionTrait for Instrumented<C> {
    type Transaction = Instrumented<C::Transaction>;

    async fn begin(&self) -> Result<Self::Transaction, DbErr> {
        self.begin_by(self.connection.begin()).await
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<Self::Transaction, DbErr> {
        self.begin_by(self.connection.begin_with_config(isolation_level, access_mode)).await
    }

    async fn begin_with_options(
        &self,
        options: TransactionOptions,
    ) -> Result<Self::Transaction, DbErr> {
        self.begin_by(self.connection.begin_with_options(options)).await
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(
                &'c Self::Transaction,
            ) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        self.transaction_with_config(callback, None, None).await
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(
                &'c Self::Transaction,
            ) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        let transaction = self
            .begin_with_config(isolation_level, access_mode)
            .await
            .map_err(TransactionError::Connection)?;
        let result = callback(&transaction).await.map_err(TransactionError::Transaction);
        let ended = match &result {
            Ok(_) => transaction.commit().await,
            Err(_) => transaction.rollback().await,
        };
        ended.map_err(TransactionError::Connection)?;
        result
    }
}

#[async_trait::async_trait]
impl<T: TransactionSession + Send> TransactionSession for Instrumented<T> {
    async fn commit(self) -> Result<(), DbErr> {
        let span = self.statements.start("COMMIT", current().as_ref());
        let result = self.connection.commit().await;
        span.end(&result, None);
        result
    }

    async fn rollback(self) -> Result<(), DbErr> {
        let span = self.statements.start("ROLLBACK", current().as_ref());
        let result = self.connection.rollback().await;
        span.end(&result, None);
        result
    }
}

#[cfg(feature = "stream")]
mod stream {
    use std::{
        pin::Pin,
        task::{Context, Poll, ready},
    };

    use futures_util::Stream;
    use pin_project_lite::pin_project;
    use sea_orm::{DbBackend, DbErr, QueryResult, Statement, StreamTrait};

    use super::Instrumented;
    use crate::sea_orm::{StatementSpan, current};

    impl<C: StreamTrait> StreamTrait for Instrumented<C> {
        type Stream<'a>
            = InstrumentedStream<C::Stream<'a>>
        where
            C: 'a;

        fn get_database_backend(&self) -> DbBackend {
            self.connection.get_database_backend()
        }

        fn stream_raw<'a>(
            &'a self,
            mut statement: Statement,
        ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
            Box::pin(async move {
                let span = self.statements.start_with_comment(current().as_ref(), &mut statement);
                match self.connection.stream_raw(statement).await {
                    Ok(rows) => Ok(InstrumentedStream { rows, count: 0, span: Some(span) }),
                    Err(error) => {
                        let result = Err(error);
                        span.end(&result, None);
                        result
                    }
                }
            })
        }
    }

    pin_project! {
        /// The rows of a statement, whose span ends with the last one or when this is dropped.
        pub struct InstrumentedStream<S> {
            #[pin]
            rows: S,
            count: usize,
            span: Option<StatementSpan>,
        }

        impl<S> PinnedDrop for InstrumentedStream<S> {
            fn drop(this: Pin<&mut Self>) {
                let this = this.project();
                // Whoever has enough of the rows drops them.
                if let Some(span) = this.span.take() {
                    span.end(&Ok(()), Some(*this.count));
                }
            }
        }
    }

    impl<S: Stream<Item = Result<QueryResult, DbErr>>> Stream for InstrumentedStream<S> {
        type Item = S::Item;

        fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
            let this = self.project();
            let row = ready!(this.rows.poll_next(context));
            *this.count += usize::from(matches!(row, Some(Ok(_))));
            if !matches!(row, Some(Ok(_)))
                && let Some(span) = this.span.take()
            {
                let result = row.as_ref().map_or(Ok(()), |row| row.as_ref().map(drop));
                match result {
                    Ok(()) => span.end(&Ok(()), Some(*this.count)),
                    Err(error) => span.end::<()>(&Err(error.clone()), Some(*this.count)),
                }
            }
            Poll::Ready(row)
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            self.rows.size_hint()
        }
    }
}

#[cfg(feature = "stream")]
pub use stream::InstrumentedStream;
