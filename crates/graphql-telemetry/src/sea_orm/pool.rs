//! The metrics of a pool of connections, and the spans of long waits for one.

use std::time::{Duration, Instant, SystemTime};

use metrics::{Counter, Gauge, Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, TraceContextExt},
};
use opentelemetry_semantic_conventions::attribute as attr;
use sea_orm::{ConnAcquireErr, DbErr};

use super::{fault::DatabaseFault, statement::fail};
use crate::{
    catalog::{DB_CONNECTIONS, DB_CONNECTIONS_MAX, DB_PENDING, DB_TIMEOUTS, DB_USE, DB_WAIT},
    traces::start_span,
};

/// A shorter wait for a connection has no span.
const MIN_SPAN: Duration = Duration::from_millis(1);

/// The metrics of a pool.
pub struct PoolMetrics {
    name: &'static str,
    used: Gauge,
    idle: Gauge,
    pending: Gauge,
    timeouts: Counter,
    wait: Histogram,
    use_time: Histogram,
}

impl PoolMetrics {
    /// Of a pool with this name among the process's pools, and so many connections at most.
    #[must_use]
    pub fn new(name: &'static str, size: usize) -> Self {
        let pool = || vec![Label::new(attr::DB_CLIENT_CONNECTION_POOL_NAME, name)];
        let connections = |state: &'static str| {
            let mut labels = pool();
            labels.push(Label::new(attr::DB_CLIENT_CONNECTION_STATE, state));
            DB_CONNECTIONS.gauge(labels)
        };
        #[expect(clippy::cast_precision_loss, reason = "a thousand at most")]
        DB_CONNECTIONS_MAX.gauge(pool()).set(size as f64);
        Self {
            name,
            used: connections("used"),
            idle: connections("idle"),
            pending: DB_PENDING.gauge(pool()),
            timeouts: DB_TIMEOUTS.counter(pool()),
            wait: DB_WAIT.histogram(pool()),
            use_time: DB_USE.histogram(pool()),
        }
    }

    /// Records how many connections are open and not in use.
    pub fn set_idle(&self, connections: usize) {
        self.idle.set(f64::from(u32::try_from(connections).unwrap_or(u32::MAX)));
    }

    /// A connection was to be had without waiting.
    pub fn acquired_at_once(&self) {
        self.wait.record(0.0);
    }

    /// A wait for a connection begins.
    #[must_use]
    pub fn wait(&self) -> Waiting<'_> {
        self.pending.increment(1);
        Waiting { metrics: self, since: Instant::now() }
    }

    /// A connection is used from now on.
    pub fn begin_use(&self) {
        self.used.increment(1);
    }

    /// It has been used for so long.
    pub fn end_use(&self, time: Duration) {
        self.used.decrement(1);
        self.use_time.record(time.as_secs_f64());
    }
}

/// A wait for a connection, until it is dropped.
pub struct Waiting<'a> {
    metrics: &'a PoolMetrics,
    since: Instant,
}

impl Waiting<'_> {
    /// Ends it, with the error if no connection was to be had. A long one has a span below `parent`.
    pub fn end(self, parent: Option<&Context>, error: Option<&DbErr>) {
        let waited = self.since.elapsed();
        self.metrics.wait.record(waited.as_secs_f64());
        if matches!(error, Some(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))) {
            self.metrics.timeouts.increment(1);
        }
        let Some(parent) = parent.filter(|_| waited > MIN_SPAN) else { return };
        let began = SystemTime::now() - waited;
        let span = SpanBuilder::from_name("db.pool.acquire").with_start_time(began);
        let context = start_span(span, parent, || {
            [KeyValue::new(attr::DB_CLIENT_CONNECTION_POOL_NAME, self.metrics.name)]
        });
        if let Some(error) = error {
            fail(&mut context.span(), &DatabaseFault::from(error));
        }
        context.span().end();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.metrics.pending.decrement(1);
    }
}
