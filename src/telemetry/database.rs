//! SQL: a span and two metrics for each statement, and the pool's metrics. Every statement goes
//! through a [`Session`] or a [`Transaction`], which know whose doing it is.
//!
//! The pool's connections stand behind a gate of its size, so that waiting for a connection, holding
//! one and the number of those who wait are measured in one place.

mod comment;
mod connection;
mod slots;
mod statement;
mod summary;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, LazyLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

pub use comment::CommentMode;
pub use connection::{Session, Transaction};
use metrics::{Counter, Gauge, Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, Tracer},
};
use opentelemetry_semantic_conventions::attribute as attr;
use sea_orm::{ConnAcquireErr, DatabaseConnection, DbBackend, DbErr, RuntimeErr, SqlxError};
pub use slots::Connections;
use slots::{Slot, Slots};
use statement::{Known, fail};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    export::traces::tracer,
    names::{
        DB_CONNECTIONS, DB_CONNECTIONS_MAX, DB_PENDING, DB_REACHABLE, DB_TIMEOUTS, DB_USE, DB_WAIT,
    },
};
use crate::error::DatabaseFault;

/// A shorter wait for a connection is not worth a span.
const WORTH_A_SPAN: Duration = Duration::from_millis(1);
/// Texts of statements whose summary is remembered. The texts are the code's own, and far fewer.
const KNOWN_STATEMENTS: usize = 1024;

/// What the telemetry of a pool says of its database.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Names the pool among the process's pools.
    pub name: &'static str,
    /// The database's name, or its file's.
    pub namespace: String,
    /// Host and port of a server.
    pub server: Option<(String, u16)>,
    /// Connections at most.
    pub size: usize,
    /// How long to wait for one.
    pub wait: Duration,
    /// Which comments to add to statements.
    pub comments: CommentMode,
}

/// A pool of connections. Clones share it.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    slots: Slots,
    options: PoolOptions,
    gate: Arc<Semaphore>,
    metrics: PoolMetrics,
    known: RwLock<HashMap<String, Arc<Known>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.0.options).finish()
    }
}

struct PoolMetrics {
    used: Gauge,
    idle: Gauge,
    pending: Gauge,
    timeouts: Counter,
    wait: Histogram,
    use_time: Histogram,
}

impl PoolMetrics {
    fn new(options: &PoolOptions) -> Self {
        let pool = || vec![Label::new(attr::DB_CLIENT_CONNECTION_POOL_NAME, options.name)];
        let connections = |state: &'static str| {
            let mut labels = pool();
            labels.push(Label::new(attr::DB_CLIENT_CONNECTION_STATE, state));
            DB_CONNECTIONS.gauge(labels)
        };
        #[expect(clippy::cast_precision_loss, reason = "a thousand at most")]
        DB_CONNECTIONS_MAX.gauge(pool()).set(options.size as f64);
        Self {
            used: connections("used"),
            idle: connections("idle"),
            pending: DB_PENDING.gauge(pool()),
            timeouts: DB_TIMEOUTS.counter(pool()),
            wait: DB_WAIT.histogram(pool()),
            use_time: DB_USE.histogram(pool()),
        }
    }
}

/// Records whether the database server answers.
pub fn report_reachable(is_there: bool) {
    static REACHABLE: LazyLock<Gauge> = LazyLock::new(|| DB_REACHABLE.gauge(Vec::new()));
    REACHABLE.set(f64::from(u8::from(is_there)));
}

impl Pool {
    /// A pool of these connections.
    #[must_use]
    pub fn new(connections: Connections, options: PoolOptions) -> Self {
        Self(Arc::new(Shared {
            gate: Arc::new(Semaphore::new(options.size)),
            metrics: PoolMetrics::new(&options),
            known: RwLock::default(),
            slots: Slots::new(connections, options.size),
            options,
        }))
    }

    /// Holds every connection for as long as `time`. For the laboratory.
    ///
    /// # Errors
    /// If one cannot be had in time.
    pub async fn occupy(&self, time: Duration) -> Result<(), DbErr> {
        let mut held = Vec::new();
        for _ in 0..self.0.options.size {
            held.push(self.acquire(None).await?);
        }
        tokio::time::sleep(time).await;
        Ok(())
    }

    /// Throws all connections away: the server they were of was gone in between.
    pub fn renew(&self) {
        self.0.slots.renew();
    }

    /// Closes all connections that are not in use.
    ///
    /// # Errors
    /// If one cannot be closed.
    pub async fn close(&self) -> Result<(), DbErr> {
        for connection in self.0.slots.drain() {
            connection.close().await?;
        }
        Ok(())
    }

    /// Records how many connections are open and idle.
    pub fn sample(&self) {
        let idle = u32::try_from(self.0.slots.count_idle()).unwrap_or(u32::MAX);
        self.0.metrics.idle.set(f64::from(idle));
    }

    fn backend(&self) -> DbBackend {
        if self.0.slots.is_server() { DbBackend::Postgres } else { DbBackend::Sqlite }
    }

    async fn acquire(&self, parent: Option<&Context>) -> Result<Held, DbErr> {
        let Shared { gate, metrics, options, .. } = &*self.0;
        let asked = Instant::now();
        if let Ok(permit) = gate.clone().try_acquire_owned() {
            metrics.wait.record(asked.elapsed().as_secs_f64());
            return Ok(Held::new(self.clone(), permit));
        }
        let began = SystemTime::now();
        metrics.pending.increment(1);
        let pending = OnDrop(|| metrics.pending.decrement(1));
        let permit = tokio::time::timeout(options.wait, gate.clone().acquire_owned()).await;
        drop(pending);
        let waited = asked.elapsed();
        metrics.wait.record(waited.as_secs_f64());
        let result = match permit {
            Ok(Ok(permit)) => Ok(Held::new(self.clone(), permit)),
            Ok(Err(_)) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
            Err(_) => {
                metrics.timeouts.increment(1);
                Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))
            }
        };
        if waited > WORTH_A_SPAN {
            self.wait_span(parent, began, result.as_ref().err());
        }
        result
    }

    fn wait_span(&self, parent: Option<&Context>, began: SystemTime, error: Option<&DbErr>) {
        let (Some(tracer), Some(parent)) = (tracer(), parent) else { return };
        let name = self.0.options.name;
        let mut span = tracer
            .span_builder("db.pool.acquire")
            .with_start_time(began)
            .with_attributes([KeyValue::new(attr::DB_CLIENT_CONNECTION_POOL_NAME, name)])
            .start_with_context(tracer, parent);
        if let Some(error) = error {
            fail(&mut span, &DatabaseFault::from(error));
        }
        span.end();
    }

    /// What is known of a statement by its text alone.
    fn known(&self, sql: &str) -> Arc<Known> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        known.unwrap_or_else(|| {
            let new = Arc::new(Known::new(sql, self.backend(), &self.0.options));
            let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() < KNOWN_STATEMENTS {
                known.insert(sql.to_owned(), new.clone());
            }
            new
        })
    }
}

/// A connection's use: from the gate to its return.
struct Held {
    pool: Pool,
    /// There until the drop.
    slot: Option<Slot>,
    broken: AtomicBool,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Held {
    fn new(pool: Pool, permit: OwnedSemaphorePermit) -> Self {
        pool.0.metrics.used.increment(1);
        let slot = Some(pool.0.slots.take());
        let broken = AtomicBool::new(false);
        Self { pool, slot, broken, since: Instant::now(), _permit: permit }
    }

    fn slot(&self) -> &Slot {
        self.slot.as_ref().expect("it is taken by the drop only")
    }

    fn connection(&self) -> &DatabaseConnection {
        &self.slot().connection
    }

    /// Waits for `work` on the connection. If nobody waits to the end, or the connection is what
    /// failed, it is not used again.
    async fn attend<T>(&self, work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        let mut work = std::pin::pin!(work);
        // Declared behind `work` and so dropped in front of it: when the driver gets its connection
        // back, it must know already that it is to be closed.
        let unfinished = OnDrop(|| {
            if self.pool.0.slots.is_server() {
                self.broken.store(true, Ordering::Relaxed);
                self.slot().abandon();
            }
        });
        let result = work.as_mut().await;
        std::mem::forget(unfinished);
        if result.as_ref().is_err_and(is_of_connection) {
            self.broken.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.pool.0.slots.give_back(slot, *self.broken.get_mut());
        }
        self.pool.0.metrics.used.decrement(1);
        self.pool.0.metrics.use_time.record(self.since.elapsed().as_secs_f64());
    }
}

/// Whether it is the connection that failed, and not what was asked of the database.
fn is_of_connection(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match &**error {
                SqlxError::Database(error) => {
                    // Connection exception, operator intervention.
                    error.code().is_some_and(|code| {
                        code.starts_with("08") || (code.starts_with("57") && code != "57014")
                    })
                }
                SqlxError::Io(_)
                | SqlxError::Tls(_)
                | SqlxError::Protocol(_)
                | SqlxError::PoolTimedOut
                | SqlxError::PoolClosed
                | SqlxError::WorkerCrashed => true,
                _ => false,
            }
        }
        _ => false,
    }
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
