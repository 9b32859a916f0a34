//! Connections to a PostgreSQL server, directly or through a connection pooler.
//!
//! A pooler such as PgBouncer may give each transaction another connection to the server, so that
//! neither prepared statements nor settings of a session last. It rejects or drops the start-up
//! parameter `options` (<https://www.pgbouncer.org/config.html#ignore_startup_parameters>), by which
//! it is found.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::ValueEnum;
use graphql_telemetry::sea_orm::{DatabaseFault, FaultClass};
use sea_orm::sqlx::{
    self, AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row,
    error::DatabaseError, postgres::PgConnectOptions,
};
use tracing::info;

/// Whether a connection pooler stands before the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PoolerMode {
    /// The first connection finds out.
    #[default]
    Auto,
    /// One that may give each transaction another connection to the server.
    Transaction,
}

/// The [kind](DatabaseFault::kind) of what a pooler does that the service cannot work with.
pub const POOLER: &str = "pooler";

/// What a pooler does that the service cannot work with.
#[derive(Debug, thiserror::Error)]
enum PoolerError {
    /// It rejects a start-up parameter.
    #[error(
        "the connection pooler (PgBouncer) rejects the start-up parameter {0}: add it to its \
         ignore_startup_parameters"
    )]
    StartupParameter(String),
    /// It rejects or drops options of the URL or of the environment.
    #[error(
        "the connection pooler (PgBouncer) does not pass on the options of DATABASE_URL or \
         PGOPTIONS: take them out, and set them for the role (ALTER ROLE … SET …)"
    )]
    Options,
    /// It pools statements.
    #[error(
        "the connection pooler (PgBouncer) rejects transactions: set its pool_mode to transaction \
         or session"
    )]
    Transactions,
}

/// A server, and how to connect to it.
#[derive(Clone, Debug)]
pub struct Server {
    direct: PgConnectOptions,
    pooled: Box<PgConnectOptions>,
    /// Begins a transaction with the settings that a pooler does not let through.
    begin: Arc<str>,
    /// Whether there is a pooler for sure, as a connection found or the settings say.
    has_pooler: Arc<AtomicBool>,
    /// Whether a connection was found to have its options.
    is_direct: Arc<AtomicBool>,
    /// Whether the log has it.
    is_reported: Arc<AtomicBool>,
}

/// A connection to a server.
#[derive(Debug)]
pub struct PostgresConnection {
    pub(super) inner: PgConnection,
    /// Through a pooler: what begins a transaction.
    pub(super) begin: Option<Arc<str>>,
}

/// A start-up option that changes nothing and that only a server that got it knows.
const MARKER: (&str, &str) = ("colophon.direct", "on");
const READ_MARKER: &str = "SELECT current_setting('colophon.direct', true)";

impl Server {
    /// A server at `options` with these settings in force on each connection.
    #[must_use]
    pub fn new(options: PgConnectOptions, settings: &[(&str, &str)], mode: PoolerMode) -> Self {
        let mut begin = "BEGIN".to_owned();
        for (name, value) in settings {
            // Fails never: it is a string.
            let _ = write!(begin, "; SET LOCAL {name} = {value}");
        }
        Self {
            direct: options.clone().options(settings.iter().copied().chain([MARKER])),
            // Which PgBouncer rejects as well, and which concerns only numbers in text.
            pooled: Box::new(options.extra_float_digits(None)),
            begin: begin.into(),
            has_pooler: Arc::new(AtomicBool::new(mode == PoolerMode::Transaction)),
            is_direct: Arc::default(),
            is_reported: Arc::default(),
        }
    }

    /// The same server, which is given this name of the application.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.direct = self.direct.application_name(name);
        self.pooled = Box::new(self.pooled.application_name(name));
        self
    }

    /// Whether a connection was found to go through a pooler, or the settings say so.
    #[must_use]
    pub fn has_pooler(&self) -> bool {
        self.has_pooler.load(Ordering::Acquire)
    }

    /// From now on, all connections go through a pooler.
    fn set_has_pooler(&self) {
        self.has_pooler.store(true, Ordering::Release);
        if !self.is_reported.swap(true, Ordering::AcqRel) {
            info!(
                name: "database.pooler",
                "connected through a pooler such as PgBouncer: each statement is prepared anew, in a \
                 transaction with its settings"
            );
        }
    }

    /// Whether the failure of a statement shows a pooler that passes `options` on: a prepared
    /// statement was not where it should be, or another was. From then on, it is known.
    pub fn finds_pooler(&self, error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(DatabaseError::code);
        let is_new = matches!(code.as_deref(), Some("26000" | "42P05")) && !self.has_pooler();
        if is_new {
            self.set_has_pooler();
        }
        is_new
    }

    /// What a connection is opened with, as far as is known now.
    #[must_use]
    pub fn options(&self) -> &PgConnectOptions {
        if self.has_pooler() { &self.pooled } else { &self.direct }
    }

    /// Connects.
    ///
    /// # Errors
    /// If the server cannot be reached or rejects the connection, or a pooler does.
    pub async fn connect(&self) -> Result<PostgresConnection, sqlx::Error> {
        if self.has_pooler() {
            return self.connect_to_pooler().await;
        }
        match self.direct.connect().await {
            Ok(connection) => self.opened(connection).await,
            Err(error) if rejected_parameter(&error).is_some() => self.connect_to_pooler().await,
            Err(error) => Err(error),
        }
    }

    async fn opened(
        &self,
        mut connection: PgConnection,
    ) -> Result<PostgresConnection, sqlx::Error> {
        // Asked once: a round trip for each connection would take long where CPU is short.
        if self.is_direct.load(Ordering::Acquire) || is_direct(&mut connection).await? {
            self.is_direct.store(true, Ordering::Release);
            return Ok(PostgresConnection { inner: connection, begin: None });
        }
        self.pooled(connection).await
    }

    async fn connect_to_pooler(&self) -> Result<PostgresConnection, sqlx::Error> {
        self.check_options()?;
        match self.pooled.connect().await {
            Ok(connection) => self.pooled(connection).await,
            Err(error) => Err(match rejected_parameter(&error) {
                Some(name) => configuration(PoolerError::StartupParameter(name)),
                None => error,
            }),
        }
    }

    /// A search path that is silently lost would lead to the wrong tables.
    fn check_options(&self) -> Result<(), sqlx::Error> {
        match self.pooled.get_options() {
            Some(_) => Err(configuration(PoolerError::Options)),
            None => Ok(()),
        }
    }

    /// Tries a transaction with the settings, which a pooler of statements rejects.
    async fn pooled(
        &self,
        mut connection: PgConnection,
    ) -> Result<PostgresConnection, sqlx::Error> {
        self.check_options()?;
        for sql in [&*self.begin, "COMMIT"] {
            let script = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
            connection.execute(script).await.map_err(transactions)?;
        }
        self.set_has_pooler();
        Ok(PostgresConnection { inner: connection, begin: Some(self.begin.clone()) })
    }
}

impl PostgresConnection {
    /// Whether it still answers.
    pub async fn ping(&mut self) -> bool {
        self.inner.ping().await.is_ok()
    }
}

async fn is_direct(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // Not prepared: the next statement may be on another connection of the pooler.
    let row = connection.fetch_one(sqlx::raw_sql(READ_MARKER)).await?;
    Ok(row.try_get::<Option<&str>, _>(0)? == Some(MARKER.1))
}

/// The start-up parameter that a pooler rejects: PgBouncer's own words, for which there is no
/// SQLSTATE. Others give up with a class of their own.
fn rejected_parameter(error: &sqlx::Error) -> Option<String> {
    const REJECTION: &str = "unsupported startup parameter";
    let error = error.as_database_error()?;
    let of_options = || error.code().is_some_and(|code| code.starts_with("0A"));
    match error.message().strip_prefix(REJECTION) {
        Some(rest) => Some(parameter_name(rest)),
        None => of_options().then(|| "options".to_owned()),
    }
}

/// The name behind a colon, where it is one.
fn parameter_name(text: &str) -> String {
    let name = text.rsplit(": ").next().unwrap_or_default();
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "_.".contains(*c)).take(63).collect()
}

fn transactions(error: sqlx::Error) -> sqlx::Error {
    let is_pooler = |error: &dyn DatabaseError| error.code().as_deref() == Some(PROTOCOL_VIOLATION);
    match error.as_database_error() {
        Some(database) if is_pooler(database) => configuration(PoolerError::Transactions),
        _ => error,
    }
}

fn configuration(error: PoolerError) -> sqlx::Error {
    let fault = DatabaseFault::new(FaultClass::Unavailable, POOLER, error.to_string());
    sqlx::Error::Configuration(Box::new(fault))
}

/// SQLSTATE protocol_violation, which is that of all errors of PgBouncer's own.
const PROTOCOL_VIOLATION: &str = "08P01";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extracts_the_name_of_a_parameter() {
        assert_eq!(parameter_name(": options"), "options");
        assert_eq!(parameter_name(" in options: statement_timeout"), "statement_timeout");
        assert_eq!(parameter_name(": o'pt ions"), "options");
    }

    #[test]
    fn scopes_settings_to_the_transaction() {
        let settings = [("statement_timeout", "3000"), ("lock_timeout", "5")];
        let server = Server::new(PgConnectOptions::new(), &settings, PoolerMode::Auto);
        let begin = "BEGIN; SET LOCAL statement_timeout = 3000; SET LOCAL lock_timeout = 5";
        assert_eq!(&*server.begin, begin);
        assert!(server.options().get_options().is_some_and(|it| it.contains("colophon.direct")));
    }
}
