//! Connecting and migrating. SQLite is the embedded default: many readers and one
//! writer. PostgreSQL is for real load and for more than one replica.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use migration::{Migrator, MigratorTrait};
use opentelemetry::Context;
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, RuntimeErr,
    SqliteTransactionMode, TransactionOptions, Value,
    sea_query::{ArrayType, Expr, ExprTrait, IntoColumnRef, extension::postgres::PgFunc},
    sqlx::{
        postgres::PgConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};

use crate::{
    config::database::{DatabaseSettings, DatabaseUrl},
    error::{Error, Result},
    telemetry::database::{Pool, PoolOptions, Session, Transaction},
};

/// Names our PostgreSQL advisory lock: "colophon" in ASCII.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"colophon");
/// How long a writer waits for another process that writes to the same SQLite file.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before trying again to open a locked SQLite file.
const SQLITE_RETRY: Duration = Duration::from_millis(20);
/// A connection that has been idle for longer is tested before use: testing each time would
/// cost a round trip a statement.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(30);

/// The catalogue's database.
#[derive(Clone, Debug)]
pub struct Database {
    reader: Pool,
    writer: Pool,
    backend: DbBackend,
    migrated: Arc<AtomicBool>,
}

impl Database {
    /// Opens the pools. A PostgreSQL server need not be there yet; an SQLite file must be usable.
    ///
    /// # Errors
    /// If the SQLite file cannot be opened or created, or is no database.
    pub async fn open(settings: &DatabaseSettings) -> std::result::Result<Self, DbErr> {
        let (reader, writer, backend) = match &settings.database_url {
            DatabaseUrl::Postgres(_) => {
                let connection = sea_orm::Database::connect(postgres(settings)).await?;
                let pool = Pool::new(connection, pool(settings, "postgres", settings.pool_size));
                (pool.clone(), pool, DbBackend::Postgres)
            }
            DatabaseUrl::Sqlite(url) => {
                let writer = connect_sqlite(sqlite(settings, true)).await?;
                let writer = Pool::new(writer, pool(settings, "writer", 1));
                let reader = if url.contains(":memory:") {
                    // Each connection to memory would be a database of its own.
                    writer.clone()
                } else {
                    let reader = connect_sqlite(sqlite(settings, false)).await?;
                    Pool::new(reader, pool(settings, "reader", settings.pool_size))
                };
                (reader, writer, DbBackend::Sqlite)
            }
        };
        Ok(Self { reader, writer, backend, migrated: Arc::default() })
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
        self.backend == DbBackend::Sqlite
    }

    /// Whether the schema is known to be up to date, so that operations can be served.
    #[must_use]
    pub fn is_migrated(&self) -> bool {
        self.migrated.load(Ordering::Acquire)
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
        if self.backend == DbBackend::Postgres {
            // Held until the transaction ends. `BEGIN IMMEDIATE` is the lock on SQLite.
            tx.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
            tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
                .await?;
        }
        Ok(tx)
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] if there is none within `limit`.
    pub async fn ping(&self, limit: Duration) -> Result<()> {
        match tokio::time::timeout(limit, self.reader.ping()).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(Error::DatabaseUnavailable(format!("no answer within {limit:?}"))),
        }
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

fn options(settings: &DatabaseSettings, max_connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(settings.database_url.as_str());
    options
        .max_connections(max_connections)
        .acquire_timeout(settings.limits.pool_wait)
        .test_before_acquire_if_idle_for(TEST_AFTER_IDLE)
        .sqlx_logging(false);
    options
}

fn postgres(settings: &DatabaseSettings) -> ConnectOptions {
    let mut options = options(settings, settings.pool_size);
    // Also what ends a transaction whose client is gone.
    let idle = settings.limits.statement_timeout.as_millis().to_string();
    options
        .connect_lazy(true)
        .set_application_name("colophon")
        .statement_timeout(settings.limits.statement_timeout)
        .map_sqlx_postgres_opts(move |options| {
            options.options([("idle_in_transaction_session_timeout", &idle)])
        });
    options
}

fn sqlite(settings: &DatabaseSettings, writes: bool) -> ConnectOptions {
    let mut options = options(settings, if writes { 1 } else { settings.pool_size });
    options.idle_timeout(None).max_lifetime(None);
    options.map_sqlx_sqlite_opts(move |options: SqliteConnectOptions| {
        let options = options.foreign_keys(true).busy_timeout(SQLITE_BUSY_TIMEOUT);
        if writes {
            options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal)
        } else {
            options.pragma("query_only", "on")
        }
    });
    options
}

/// Connects, trying again while the file is locked: SQLite does not wait by itself for the lock
/// that turns a new file into one with a write-ahead log, which processes that start together
/// contend for.
async fn connect_sqlite(options: ConnectOptions) -> std::result::Result<DatabaseConnection, DbErr> {
    let started = Instant::now();
    loop {
        match sea_orm::Database::connect(options.clone()).await {
            Err(error) if is_locked(&error) && started.elapsed() < SQLITE_BUSY_TIMEOUT => {
                tokio::time::sleep(SQLITE_RETRY).await;
            }
            result => return result,
        }
    }
}

/// SQLITE_BUSY, in the low byte of the extended code.
fn is_locked(error: &DbErr) -> bool {
    let DbErr::Conn(RuntimeErr::SqlxError(error)) = error else { return false };
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}
