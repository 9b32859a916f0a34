//! Connecting and migrating. SQLite is the embedded default: many readers and one
//! writer. PostgreSQL is for real load and for more than one replica.

mod keeper;
mod postgres;
mod sqlite;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use migration::{Migrator, MigratorTrait};
use opentelemetry::Context;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions, Value,
    sea_query::{ArrayType, Expr, ExprTrait, IntoColumnRef, extension::postgres::PgFunc},
    sqlx::{postgres::PgConnectOptions, sqlite::SqliteConnectOptions},
};
use tokio::sync::watch;

use crate::{
    config::database::{DatabaseSettings, DatabaseUrl},
    error::Result,
    telemetry::database::{Connections, Pool, PoolOptions, Session, Transaction},
};

/// Names our PostgreSQL advisory lock: "colophon" in ASCII.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"colophon");
/// The catalogue's database.
#[derive(Clone, Debug)]
pub struct Database {
    reader: Pool,
    writer: Pool,
    /// How to connect to a server, and how long it may take.
    server: Option<(PgConnectOptions, Duration)>,
    /// Whether the server answers, as the keeper found.
    reachable: Arc<watch::Sender<bool>>,
    migrated: Arc<AtomicBool>,
}

impl Database {
    /// Opens the pools. A PostgreSQL server need not be there yet; an SQLite file must be usable.
    ///
    /// # Errors
    /// If the SQLite file cannot be opened or created, or is no database.
    pub async fn open(settings: &DatabaseSettings) -> std::result::Result<Self, DbErr> {
        let (reader, writer, server) = match &settings.database_url {
            DatabaseUrl::Postgres(_) => {
                let options = postgres::options(settings);
                let wait = settings.limits.pool_wait;
                let connections = postgres::connections(options.clone(), wait);
                let pool = Pool::new(connections, pool(settings, "postgres", settings.pool_size));
                (pool.clone(), pool, Some((options, wait)))
            }
            DatabaseUrl::Sqlite(url) => {
                let writer = sqlite::open(settings, true).await?;
                let writer = Pool::new(Connections::File(writer), pool(settings, "writer", 1));
                let reader = if url.contains(":memory:") {
                    // Each connection to memory would be a database of its own.
                    writer.clone()
                } else {
                    let reader = Connections::File(sqlite::open(settings, false).await?);
                    Pool::new(reader, pool(settings, "reader", settings.pool_size))
                };
                (reader, writer, None)
            }
        };
        let reachable = Arc::new(watch::Sender::new(server.is_none()));
        Ok(Self { reader, writer, server, reachable, migrated: Arc::default() })
    }

    /// For reading outside a transaction, on behalf of `parent`; without one the statements are
    /// not traced.
    #[must_use]
    pub fn reader(&self, parent: Option<&Context>) -> Session<'_> {
        self.reader.session(parent)
    }

    /// Begins a transaction that may write. On SQLite it takes the write lock at once
    /// (`BEGIN IMMEDIATE`): one that reads first and then wants to write would fail with
    /// "database is locked" if another had written in between.
    ///
    /// # Errors
    /// If no connection can be had in time, or the database refuses.
    pub async fn begin(&self, parent: Option<&Context>) -> Result<Transaction> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        Ok(self.writer.begin(parent, options).await?)
    }

    /// Whether the database is a file of ours and not a server.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.server.is_none()
    }

    /// Why operations cannot be served now, if they cannot.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        if !*self.reachable.borrow() {
            Some("database not reached")
        } else if !self.migrated.load(Ordering::Acquire) {
            Some("database not migrated")
        } else {
            None
        }
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
        let _ = self.reachable.subscribe().wait_for(|state| *state == reachable).await;
    }

    /// Applies all migrations that have not been, in one transaction and under a lock, so that
    /// replicas may start together.
    ///
    /// # Errors
    /// If the database cannot be reached or a migration fails; then none of them is applied.
    pub async fn migrate_up(&self) -> Result<()> {
        let tx = self.begin_migration().await?;
        Migrator::up(tx.inner(), None).await?;
        tx.commit().await?;
        self.migrated.store(true, Ordering::Release);
        Ok(())
    }

    /// Takes back the newest `steps` migrations, or all.
    ///
    /// # Errors
    /// If the database cannot be reached or a migration fails; then none of them is taken back.
    pub async fn migrate_down(&self, steps: Option<u32>) -> Result<()> {
        let tx = self.begin_migration().await?;
        Migrator::down(tx.inner(), steps).await?;
        tx.commit().await?;
        self.migrated.store(false, Ordering::Release);
        Ok(())
    }

    /// The name of each migration, oldest first, and whether it is applied.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn migrations(&self) -> Result<Vec<(String, bool)>> {
        let tx = self.begin(None).await?;
        let pending = Migrator::get_pending_migrations_read_only(tx.inner()).await?;
        let is_pending = |name: &str| pending.iter().any(|migration| migration.name() == name);
        let names = Migrator::migrations().into_iter().map(|migration| migration.name().to_owned());
        Ok(names.map(|name| (name.clone(), !is_pending(&name))).collect())
    }

    async fn begin_migration(&self) -> Result<Transaction> {
        let tx = self.begin(None).await?;
        if self.server.is_some() {
            // Held until the transaction ends. `BEGIN IMMEDIATE` is the lock on SQLite.
            tx.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
            tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
                .await?;
        }
        Ok(tx)
    }

    /// Records the state of the pools.
    pub fn sample(&self) {
        self.reader.sample();
        self.writer.sample();
    }

    /// Holds every connection that reads, for as long as `time`.
    ///
    /// # Errors
    /// If one cannot be had in time.
    pub async fn occupy_readers(&self, time: Duration) -> Result<()> {
        Ok(self.reader.occupy(time).await?)
    }

    /// Closes the pools; on SQLite this also folds the write-ahead log into the file.
    pub async fn close(&self) {
        for pool in [&self.reader, &self.writer] {
            if let Err(error) = pool.close().await {
                tracing::warn!(name: "database.close_failed", %error, "a connection did not close");
            }
        }
    }
}

/// The condition that `column` is one of `ids`, in a text that does not change with their
/// number, so that the statement is prepared once.
pub fn any_of(backend: DbBackend, column: impl IntoColumnRef, ids: &[i64]) -> Expr {
    let column = Expr::col(column);
    if backend == DbBackend::Postgres {
        let ids = ids.iter().map(|id| Value::from(*id)).collect();
        column.eq(PgFunc::any(Expr::val(Value::Array(ArrayType::BigInt, Some(Box::new(ids))))))
    } else {
        let ids = serde_json::json!(ids).to_string();
        let listed = Expr::cust_with_values("(SELECT value FROM json_each(?))", [ids]);
        Expr::cust_with_exprs("? IN ?", [column, listed])
    }
}

/// What the telemetry of a pool says. No more than that of a URL: it may hold a password.
fn pool(settings: &DatabaseSettings, name: &'static str, size: u32) -> PoolOptions {
    let (namespace, server) = match &settings.database_url {
        DatabaseUrl::Postgres(url) => {
            let options: PgConnectOptions = url.parse().unwrap_or_default();
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
        namespace,
        server,
        size,
        wait: settings.limits.pool_wait,
        comments: settings.sqlcommenter,
    }
}
