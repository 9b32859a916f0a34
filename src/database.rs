//! Connecting and migrating. SQLite is the embedded default: many readers and one
//! writer. PostgreSQL is for real load and for more than one replica.

mod health_monitor;
mod listener;
mod migrations;
pub mod notifier;
pub mod pool;
mod postgres;
mod sqlite;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use graphql_telemetry::sea_orm::{DatabaseFault, DatabaseInfo, current};
use opentelemetry::Context;
use sea_orm::{
    DbBackend, DbErr, RuntimeErr, Value,
    sea_query::{ArrayType, Expr, ExprTrait, IntoColumnRef, extension::postgres::PgFunc},
    sqlx::{self, sqlite::SqliteConnectOptions},
};
use serde::Serialize;
use tokio::sync::watch;

pub use self::pool::{Session, Transaction};
use self::{
    notifier::Notifier,
    pool::{
        Pool, PoolOptions,
        driver::ConnectOptions,
        postgres::{PoolerMode, Server},
    },
};
use crate::{
    config::database::{DatabaseSettings, DatabaseUrl, parse_postgres},
    error::Result,
};

/// The catalog's database. Clones share it.
#[derive(Clone, Debug)]
pub struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    reader: Pool,
    writer: Pool,
    /// What the writer connects to.
    target: ConnectOptions,
    /// What is listened at, if it is not that.
    listen_at: Option<Server>,
    notifier: Notifier,
    /// How long connecting may take.
    wait: Duration,
    /// Whether the server responds, as the health monitor found.
    reachable: watch::Sender<bool>,
    migrated: AtomicBool,
    /// Whether the database permits the service to read only.
    read_only: AtomicBool,
    /// What last kept the service from reaching or preparing the database, until it is overcome.
    fault: Mutex<Option<DatabaseFault>>,
}

impl Database {
    /// Opens the pools. A PostgreSQL server need not be there yet; an SQLite file must be usable.
    ///
    /// # Errors
    /// If the SQLite file cannot be opened or created, or is no database.
    pub async fn open(settings: &DatabaseSettings) -> std::result::Result<Self, DbErr> {
        let (reader, writer, target) = match &settings.database_url {
            DatabaseUrl::Postgres(url) => {
                let options = parse_postgres(url)
                    .map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))?;
                let target =
                    ConnectOptions::Postgres(postgres::server(settings, options, settings.pooler));
                let options = pool(settings, "postgres", settings.pool_size);
                let pool = Pool::new(target.clone(), options, None);
                (pool.clone(), pool, target)
            }
            DatabaseUrl::Sqlite(url) => {
                let parsed: SqliteConnectOptions = url.parse().map_err(|error: sqlx::Error| {
                    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))
                })?;
                let open = async |name, size, writes| {
                    let options = sqlite::options(&parsed, writes);
                    let first = sqlite::open(options.clone(), writes).await?;
                    let target = ConnectOptions::Sqlite(options);
                    Ok::<_, DbErr>(Pool::new(target, pool(settings, name, size), Some(first)))
                };
                let writer = open("writer", 1, true).await?;
                let reader = if url.contains(":memory:") {
                    // Each connection to memory would be a database of its own.
                    writer.clone()
                } else {
                    open("reader", settings.pool_size, false).await?
                };
                (reader, writer, ConnectOptions::Sqlite(sqlite::options(&parsed, true)))
            }
        };
        let listen_at = settings.notifications_url.as_ref().map(|url| {
            let options = parse_postgres(url.as_str()).unwrap_or_default();
            postgres::server(settings, options, PoolerMode::Auto)
        });
        let notifier = Notifier::new(target.is_server());
        let reachable = watch::Sender::new(!target.is_server());
        let (wait, migrated) = (settings.limits.pool_wait, AtomicBool::default());
        let (read_only, fault) = (AtomicBool::default(), Mutex::default());
        Ok(Self(Arc::new(Shared {
            reader,
            writer,
            target,
            listen_at,
            notifier,
            wait,
            reachable,
            migrated,
            read_only,
            fault,
        })))
    }

    /// For reading outside a transaction, on behalf of `parent`; without one the statements are
    /// not traced.
    #[must_use]
    pub fn reader(&self, parent: Option<&Context>) -> Session<'_> {
        self.0.reader.session(parent)
    }

    /// For writing outside a transaction, each statement for itself, on behalf of `parent`.
    #[must_use]
    pub fn writer(&self, parent: Option<&Context>) -> Session<'_> {
        self.0.writer.session(parent)
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// If no connection can be had in time, or the database returns an error.
    pub async fn begin(&self, parent: Option<&Context>) -> Result<Transaction> {
        Ok(self.0.writer.begin(parent).await?)
    }

    /// What tells all processes that use the database of changes.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        self.0.notifier.clone()
    }

    /// Whether the database is a file and not a server.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        !self.0.target.is_server()
    }

    /// Why operations cannot be served now, if they cannot.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        let problem = if !*self.0.reachable.borrow() {
            "database not reached"
        } else if !self.0.migrated.load(Ordering::Acquire) {
            "database not migrated"
        } else {
            return None;
        };
        Some(match self.fault() {
            Some(fault) if fault.is_denial() => "permission denied by the database",
            Some(fault) if fault.kind() == pool::postgres::POOLER => {
                "connection pooler not supported"
            }
            _ => problem,
        })
    }

    /// What last kept the service from reaching or preparing the database, until it is overcome.
    #[must_use]
    pub fn fault(&self) -> Option<DatabaseFault> {
        self.0.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what keeps the service from the database, or that nothing does.
    pub fn set_fault(&self, fault: Option<DatabaseFault>) {
        *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Whether the database was found to permit the service to read only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.0.read_only.load(Ordering::Acquire)
    }

    /// Notes whether a mutation succeeded: a standby may have been promoted, a privilege granted.
    pub fn observe_write(&self, succeeded: bool) {
        if succeeded && self.is_read_only() {
            self.0.read_only.store(false, Ordering::Release);
        }
    }

    /// Finds out whether the database permits the service to write.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub async fn check_writable(&self) -> Result<bool> {
        let is_writable =
            self.is_embedded() || postgres::is_writable(&self.writer(current().as_ref())).await?;
        self.0.read_only.store(!is_writable, Ordering::Release);
        Ok(is_writable)
    }

    /// Waits until the server answers; with a file there is nothing to wait for.
    pub async fn reached(&self) {
        self.becomes(true).await;
    }

    /// Waits until the server answers no more.
    pub async fn lost(&self) {
        self.becomes(false).await;
    }

    async fn becomes(&self, reachable: bool) {
        // Fails only if the sender is gone, which we have.
        let _ = self.0.reachable.subscribe().wait_for(|state| *state == reachable).await;
    }

    fn set_migrated(&self, is_migrated: bool) {
        self.0.migrated.store(is_migrated, Ordering::Release);
    }

    /// Records the state of the pools.
    pub fn sample(&self) {
        self.0.reader.sample();
        self.0.writer.sample();
    }

    /// Holds every connection that reads, for as long as `time`.
    ///
    /// # Errors
    /// If one cannot be had in time.
    pub async fn occupy_readers(&self, time: Duration) -> Result<()> {
        Ok(self.0.reader.occupy(time).await?)
    }

    /// Closes the pools; on SQLite this also folds the write-ahead log into the file.
    pub async fn close(&self) {
        for pool in [&self.0.reader, &self.0.writer] {
            if let Err(error) = pool.close().await {
                tracing::warn!(name: "database.close_failed", { exception.message = %error }, "connection could not be closed");
            }
        }
    }
}

/// What [`eq_any`] takes a list of.
pub trait ArrayElement: Copy + Into<Value> + Serialize {
    /// What PostgreSQL has an array of.
    const ARRAY: ArrayType;
}

impl ArrayElement for i64 {
    const ARRAY: ArrayType = ArrayType::BigInt;
}

impl ArrayElement for &str {
    const ARRAY: ArrayType = ArrayType::String;
}

/// The condition that `column` is one of `values`, in a text that does not change with their
/// number, so that the statement is prepared once.
pub fn eq_any<T: ArrayElement>(
    backend: DbBackend,
    column: impl IntoColumnRef,
    values: &[T],
) -> Expr {
    let column = Expr::col(column);
    if backend == DbBackend::Postgres {
        let values = values.iter().map(|value| (*value).into()).collect();
        column.eq(PgFunc::any(Expr::val(Value::Array(T::ARRAY, Some(Box::new(values))))))
    } else {
        let values = serde_json::json!(values).to_string();
        let listed = Expr::cust_with_values("(SELECT value FROM json_each(?))", [values]);
        Expr::cust_with_exprs("? IN ?", [column, listed])
    }
}

/// What the telemetry of a pool says. No more than that of a URL: it may hold a password.
fn pool(settings: &DatabaseSettings, name: &'static str, size: u32) -> PoolOptions {
    let (namespace, server) = match &settings.database_url {
        DatabaseUrl::Postgres(url) => {
            let options = parse_postgres(url).unwrap_or_default();
            let namespace = options.get_database().unwrap_or_else(|| options.get_username());
            let server = (options.get_host().to_owned(), options.get_port());
            (namespace.to_owned(), Some(server))
        }
        DatabaseUrl::Sqlite(url) => {
            let options: SqliteConnectOptions = url.parse().unwrap_or_default();
            let file = options.get_filename().file_name().unwrap_or_default();
            (file.to_string_lossy().into_owned(), None)
        }
    };
    let size = size as usize;
    PoolOptions {
        name,
        database: DatabaseInfo { namespace, server },
        size,
        wait: settings.limits.pool_wait,
        comments: settings.sqlcommenter,
    }
}
