//! Connections by the drivers that SeaORM stands on, without their pools.

use std::sync::Arc;

use sea_orm::{
    DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement,
    sea_query::Values,
    sqlx::{
        self, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor, SqliteConnection,
        sqlite::SqliteConnectOptions,
    },
};
use sea_query_sqlx::SqlxValues;

use super::postgres::{PostgresConnection, Server};

/// What to connect to, and how.
#[derive(Clone, Debug)]
pub enum ConnectOptions {
    /// A server.
    Postgres(Server),
    /// A file.
    Sqlite(SqliteConnectOptions),
}

/// A connection.
#[derive(Debug)]
pub enum Connection {
    /// To a server.
    Postgres(PostgresConnection),
    /// To a file.
    Sqlite(SqliteConnection),
}

impl ConnectOptions {
    /// Connects.
    ///
    /// # Errors
    /// [`DbErr::Conn`] if the server cannot be reached or the file cannot be opened.
    pub async fn connect(&self) -> Result<Connection, DbErr> {
        let connected = match self {
            Self::Postgres(server) => server.connect().await.map(Connection::Postgres),
            Self::Sqlite(options) => options.connect().await.map(Connection::Sqlite),
        };
        connected.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))
    }

    /// The kind of database.
    #[must_use]
    pub const fn backend(&self) -> DbBackend {
        match self {
            Self::Postgres(_) => DbBackend::Postgres,
            Self::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    /// Whether a connection pooler is known to stand before the server.
    #[must_use]
    pub fn has_pooler(&self) -> bool {
        matches!(self, Self::Postgres(server) if server.has_pooler())
    }

    /// Whether the failure of a statement shows a connection pooler that was not known.
    #[must_use]
    pub fn finds_pooler(&self, error: &DbErr) -> bool {
        match (self, error) {
            (
                Self::Postgres(server),
                DbErr::Exec(RuntimeErr::SqlxError(error))
                | DbErr::Query(RuntimeErr::SqlxError(error)),
            ) => server.finds_pooler(error),
            _ => false,
        }
    }

    /// Whether it is a server.
    #[must_use]
    pub const fn is_server(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl Connection {
    /// Whether it still answers. Waits for the end of what it was asked before.
    pub async fn ping(&mut self) -> bool {
        match self {
            Self::Postgres(connection) => connection.ping().await,
            Self::Sqlite(connection) => connection.ping().await.is_ok(),
        }
    }

    /// What begins a transaction that may write.
    #[must_use]
    pub fn begin(&self) -> &str {
        match self {
            Self::Postgres(PostgresConnection { begin: Some(begin), .. }) => begin,
            Self::Postgres(_) => "BEGIN",
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
        }
    }

    /// Whether a pooler may give each transaction another connection to the server.
    #[must_use]
    pub const fn is_pooled(&self) -> bool {
        matches!(self, Self::Postgres(PostgresConnection { begin: Some(_), .. }))
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// If that fails.
    pub async fn close(self) -> Result<(), DbErr> {
        let closed = match self {
            Self::Postgres(connection) => connection.inner.close().await,
            Self::Sqlite(connection) => connection.close().await,
        };
        closed.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))
    }
}

/// What a connection is asked for.
pub trait Query: Send {
    /// What it answers.
    type Output: Send;

    /// Asks.
    fn run(
        self,
        connection: &mut Connection,
    ) -> impl Future<Output = Result<Self::Output, DbErr>> + Send;

    /// How many rows there are in the response, if it has rows at all.
    #[must_use]
    fn rows(_: &Self::Output) -> Option<usize> {
        None
    }
}

/// The execution of a prepared statement.
pub struct Execute(pub Statement);
/// The first row of a query.
pub struct FetchOptional(pub Statement);
/// All rows of a query.
pub struct FetchAll(pub Statement);
/// The execution of a text that is not prepared, and may have several statements.
pub struct RawSql(pub String);

/// Runs `$body` with the connection as `$to` and the statement's query as `$query`.
macro_rules! on {
    ($connection:ident, $statement:expr, |$to:ident, $query:ident| $body:expr) => {{
        let Statement { sql, values, .. } = $statement;
        let (sql, values) = (AssertSqlSafe(sql), values.unwrap_or(Values(Vec::new())));
        match $connection {
            Connection::Postgres($to) => {
                // Through a pooler, the next transaction would not find it prepared.
                let $query = sqlx::query_with::<sqlx::Postgres, _>(sql, SqlxValues(values))
                    .persistent($to.begin.is_none());
                let $to = &mut $to.inner;
                $body
            }
            Connection::Sqlite($to) => {
                let $query = sqlx::query_with::<sqlx::Sqlite, _>(sql, SqlxValues(values));
                $body
            }
        }
    }};
}

impl Query for Execute {
    type Output = ExecResult;

    async fn run(self, connection: &mut Connection) -> Result<ExecResult, DbErr> {
        on!(connection, self.0, |to, query| query.execute(to).await.map(Into::into)).map_err(exec)
    }
}

impl Query for FetchOptional {
    type Output = Option<QueryResult>;

    async fn run(self, connection: &mut Connection) -> Result<Option<QueryResult>, DbErr> {
        on!(connection, self.0, |to, query| {
            query.fetch_optional(to).await.map(|row| row.map(Into::into))
        })
        .map_err(query)
    }

    fn rows(answer: &Self::Output) -> Option<usize> {
        Some(usize::from(answer.is_some()))
    }
}

impl Query for FetchAll {
    type Output = Vec<QueryResult>;

    async fn run(self, connection: &mut Connection) -> Result<Vec<QueryResult>, DbErr> {
        on!(connection, self.0, |to, query| {
            let rows = query.fetch_all(to).await;
            rows.map(|rows| rows.into_iter().map(Into::into).collect())
        })
        .map_err(query)
    }

    fn rows(answer: &Self::Output) -> Option<usize> {
        Some(answer.len())
    }
}

impl Query for RawSql {
    type Output = ExecResult;

    async fn run(self, connection: &mut Connection) -> Result<ExecResult, DbErr> {
        let script = sqlx::raw_sql(AssertSqlSafe(self.0));
        match connection {
            Connection::Postgres(to) => to.inner.execute(script).await.map(Into::into),
            Connection::Sqlite(to) => to.execute(script).await.map(Into::into),
        }
        .map_err(exec)
    }
}

fn exec(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)))
}

fn query(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}
