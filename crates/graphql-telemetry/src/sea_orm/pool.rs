//! The metrics of a pool of connections, and the spans of long waits for one.

mod state;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use metrics::{Counter, Gauge, Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, TraceContextExt},
};
use opentelemetry_semantic_conventions::attribute as attr;
use sea_orm::{ConnAcquireErr, DbErr};

use self::state::PoolState;
pub(crate) use self::state::pools;
use super::{fault::DatabaseFault, statement::fail};
use crate::{
    catalog::{DB_CONNECTIONS, DB_CONNECTIONS_MAX, DB_PENDING, DB_TIMEOUTS, DB_USE, DB_WAIT},
    traces::start_span,
};

/// A shorter wait for a connection has no span.
const MIN_SPAN: Duration = Duration::from_millis(1);

/// The metrics of a pool, which `/debug/api/database` shows as well, for as long as this lives.
pub struct PoolMetrics {
    state: Arc<PoolState>,
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
            state: PoolState::register(name, size),
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
        self.state.set_idle(connections);
        self.idle.set(f64::from(u32::try_from(connections).unwrap_or(u32::MAX)));
    }

    /// A connection was to be had without waiting.
    pub fn acquired_at_once(&self) {
        self.state.count_acquired();
        self.wait.record(0.0);
    }

    /// A wait for a connection begins.
    #[must_use]
    pub fn wait(&self) -> Waiting<'_> {
        self.state.begin_wait();
        self.pending.increment(1);
        Waiting { metrics: self, since: Instant::now() }
    }

    /// A connection is used from now on.
    pub fn begin_use(&self) {
        self.state.begin_use();
        self.used.increment(1);
    }

    /// It has been used for so long.
    pub fn end_use(&self, time: Duration) {
        self.state.end_use();
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
        let PoolMetrics { state, .. } = self.metrics;
        state.record_wait(waited);
        self.metrics.wait.record(waited.as_secs_f64());
        match error {
            None => state.count_acquired(),
            Some(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)) => {
                state.count_timeout();
                self.metrics.timeouts.increment(1);
            }
            Some(_) => {}
        }
        let Some(parent) = parent.filter(|_| waited > MIN_SPAN) else { return };
        let began = SystemTime::now() - waited;
        let span = SpanBuilder::from_name("db.pool.acquire").with_start_time(began);
        let context = start_span(span, parent, || {
            [KeyValue::new(attr::DB_CLIENT_CONNECTION_POOL_NAME, state.name())]
        });
        if let Some(error) = error {
            fail(&mut context.span(), &DatabaseFault::from(error));
        }
        context.span().end();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.metrics.state.end_wait();
        self.metrics.pending.decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{state::PoolStatus, *};

    fn status(name: &str) -> Option<PoolStatus> {
        let pool = pools().into_iter().find(|pool| pool.name() == name)?;
        Some(pool.status())
    }

    #[test]
    fn registers_what_the_pool_does_until_it_is_dropped() {
        let name = "a pool of a test";
        let metrics = PoolMetrics::new(name, 2);
        metrics.acquired_at_once();
        metrics.begin_use();
        metrics.begin_use();
        metrics.set_idle(3);
        let first = metrics.wait();
        let second = metrics.wait();
        assert_eq!(status(name).map(|status| status.waiting), Some(2));
        first.end(None, None);
        second.end(None, Some(&DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)));
        metrics.end_use(Duration::from_millis(5));
        let status_now = status(name).unwrap();
        let PoolStatus { max, used, idle, waiting, timeouts, acquired, wait, .. } = status_now;
        assert_eq!((max, used, idle, waiting), (2, 1, 3, 0));
        assert_eq!((timeouts, acquired, wait.count), (1, 2, 2));
        drop(metrics);
        assert_eq!(status(name), None);
    }
}
