//! SQL: a span and two metrics for each statement, and the pool's metrics. Every statement goes
//! through a [`Session`] or a [`Transaction`], which know whose doing it is.
//!
//! The pool's connections stand behind a gate of its size, so that waiting for a connection, holding
//! one and the number of those who wait are measured in one place.

mod comment;
mod connection;
pub mod driver;
mod held;
pub mod postgres;
mod slots;
mod statement;
mod summary;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

pub use comment::CommentMode;
pub use connection::{Session, Transaction};
use driver::{Connection, Target};
use foldhash::fast::RandomState;
use held::Held;
use metrics::{Counter, Gauge, Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, TraceContextExt},
};
use opentelemetry_semantic_conventions::attribute as attr;
use sea_orm::{ConnAcquireErr, DbErr};
use slots::Slots;
use statement::{Known, fail};
pub use statement::{OnlySlow, current};
use tokio::sync::Semaphore;

use super::{
    export::traces::start_span,
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
    target: Target,
    slots: Slots,
    options: PoolOptions,
    gate: Arc<Semaphore>,
    metrics: PoolMetrics,
    known: RwLock<HashMap<String, Arc<Known>, RandomState>>,
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
    /// A pool of connections, `first` among them, which are opened when they are used.
    #[must_use]
    pub fn new(target: Target, options: PoolOptions, first: Option<Connection>) -> Self {
        let slots = Slots::default();
        let mut slot = slots.take();
        slot.connection = first;
        slots.give_back(slot);
        Self(Arc::new(Shared {
            target,
            gate: Arc::new(Semaphore::new(options.size)),
            metrics: PoolMetrics::new(&options),
            known: RwLock::default(),
            slots,
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

    async fn acquire(&self, parent: Option<&Context>) -> Result<Held, DbErr> {
        let Shared { gate, metrics, options, .. } = &*self.0;
        let asked = Instant::now();
        if let Ok(permit) = gate.clone().try_acquire_owned() {
            metrics.wait.record(asked.elapsed().as_secs_f64());
            return Held::open(self, permit).await;
        }
        metrics.pending.increment(1);
        let pending = OnDrop(|| metrics.pending.decrement(1));
        let permit = tokio::time::timeout(options.wait, gate.clone().acquire_owned()).await;
        drop(pending);
        let waited = asked.elapsed();
        metrics.wait.record(waited.as_secs_f64());
        let result = match permit {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
            Err(_) => {
                metrics.timeouts.increment(1);
                Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))
            }
        };
        if waited > WORTH_A_SPAN {
            self.wait_span(parent, waited, result.as_ref().err());
        }
        Held::open(self, result?).await
    }

    fn wait_span(&self, parent: Option<&Context>, waited: Duration, error: Option<&DbErr>) {
        let Some(parent) = parent else { return };
        let began = SystemTime::now() - waited;
        let span = SpanBuilder::from_name("db.pool.acquire").with_start_time(began);
        let waited = start_span(span, parent, || {
            [KeyValue::new(attr::DB_CLIENT_CONNECTION_POOL_NAME, self.0.options.name)]
        });
        if let Some(error) = error {
            fail(&mut waited.span(), &DatabaseFault::from(error));
        }
        waited.span().end();
    }

    /// What is known of a statement by its text alone.
    fn known(&self, sql: &str) -> Arc<Known> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        known.unwrap_or_else(|| {
            let new = Arc::new(Known::new(sql, self.0.target.backend(), &self.0.options));
            let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() < KNOWN_STATEMENTS {
                known.insert(sql.to_owned(), new.clone());
            }
            new
        })
    }
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
