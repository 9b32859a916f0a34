//! Subscriptions: the span of each one's life, the delivery of its events, and their metrics.
//!
//! An event is an [`Operation`](super::Operation) of its own, in a trace of its own
//! ([`Operation::start_event`](super::Operation::start_event)): a subscription may last for days, and its trace would
//! hold all of them. Two metrics have the names of the working group's draft
//! (<https://github.com/open-telemetry/semantic-conventions/pull/3515>).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use metrics::{Counter, Gauge, Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, TraceContextExt},
};
use serde::Serialize;

use super::{ErrorCode, operation::record_errors};
use crate::{
    attribute,
    catalog::{
        SUBSCRIPTION_ACTIVE, SUBSCRIPTION_DROPPED, SUBSCRIPTION_ENDED, SUBSCRIPTION_EVENTS,
        SUBSCRIPTION_LAG, SUBSCRIPTION_QUEUE, SUBSCRIPTION_STARTED,
    },
    handle_cache::HandleCache,
};

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// Its client ended it.
    Client,
    /// Its client is gone.
    Disconnected,
    /// Its client did not take what it was sent.
    Slow,
    /// Its client's rights have ended.
    Unauthorized,
    /// The service ends.
    Drain,
    /// Its events have ended.
    Completed,
    /// Its field's resolver failed.
    Failed,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Client,
        Self::Disconnected,
        Self::Slow,
        Self::Unauthorized,
        Self::Drain,
        Self::Completed,
        Self::Failed,
    ];

    /// As attributes have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Disconnected => "disconnected",
            Self::Slow => "slow_client",
            Self::Unauthorized => "unauthorized",
            Self::Drain => "drain",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// A subscription, from its start to its end. Without another reason it ends because its client is gone.
#[derive(Debug)]
pub struct Subscription {
    context: Context,
    series: Series,
    open: Arc<Open>,
    reason: EndReason,
}

/// A subscription among the open ones.
#[derive(Debug)]
struct Open {
    number: u64,
    root_field: &'static str,
    span: SpanContext,
    since: Instant,
    events: AtomicU64,
    dropped: AtomicU64,
}

static LAST: AtomicU64 = AtomicU64::new(0);
/// The open subscriptions, the oldest first.
static OPEN: Mutex<BTreeMap<u64, Arc<Open>>> = Mutex::new(BTreeMap::new());

fn open() -> MutexGuard<'static, BTreeMap<u64, Arc<Open>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A subscription that is open.
#[derive(Clone, Debug, Serialize)]
pub struct OpenSubscription {
    /// The coordinate of its root field.
    pub root_field: &'static str,
    /// Its trace, which has its span once it has ended; none where nothing is traced.
    pub trace_id: Option<String>,
    /// Seconds since it was opened.
    pub age: f64,
    /// Events that it was sent.
    pub events: u64,
    /// Events that its client missed.
    pub dropped: u64,
}

/// How many subscriptions are open, and the oldest of them, `limit` at most.
#[must_use]
pub fn open_subscriptions(limit: usize) -> (usize, Vec<OpenSubscription>) {
    let open = open();
    let view = |one: &Arc<Open>| OpenSubscription {
        root_field: one.root_field,
        trace_id: one.span.is_valid().then(|| one.span.trace_id().to_string()),
        age: one.since.elapsed().as_secs_f64(),
        events: one.events.load(Ordering::Relaxed),
        dropped: one.dropped.load(Ordering::Relaxed),
    };
    (open.len(), open.values().take(limit).map(view).collect())
}

/// The series of the subscriptions of a root field.
#[derive(Clone, Debug)]
struct Series {
    root_field: &'static str,
    active: Gauge,
    started: Counter,
    events: Counter,
    dropped: Counter,
    lag: Histogram,
}

impl Subscription {
    /// A subscription that was accepted, whose span `context` has.
    pub(super) fn start(context: Context, root_field: &'static str) -> Self {
        let series = series().get(root_field);
        series.active.increment(1);
        series.started.increment(1);
        let one = Arc::new(Open {
            number: LAST.fetch_add(1, Ordering::Relaxed),
            root_field,
            span: context.span().span_context().clone(),
            since: Instant::now(),
            events: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        open().insert(one.number, one.clone());
        Self { context, series, open: one, reason: EndReason::Disconnected }
    }

    /// What tells of it where its events are made.
    #[must_use]
    pub fn handle(&self) -> SubscriptionHandle {
        SubscriptionHandle { dropped: self.series.dropped.clone(), open: self.open.clone() }
    }

    /// Tells that an event, which happened `at` that time, is handed over for sending.
    pub fn delivered(&self, at: SystemTime) {
        self.open.events.fetch_add(1, Ordering::Relaxed);
        self.series.events.increment(1);
        // Clocks of several machines differ.
        let lag = SystemTime::now().duration_since(at).unwrap_or(Duration::ZERO);
        self.series.lag.record(lag.as_secs_f64());
    }

    /// Records that its field's resolver failed after it was opened.
    pub(super) fn fail(&mut self, errors: &[ErrorCode]) {
        record_errors(&self.context.span(), errors);
        self.reason = EndReason::Failed;
    }

    /// Records that its events have ended, unless it has failed.
    pub(super) fn complete(&mut self) {
        if self.reason != EndReason::Failed {
            self.reason = EndReason::Completed;
        }
    }

    /// Tells why it is about to end, which it does when it is dropped.
    pub const fn ends(&mut self, reason: EndReason) {
        self.reason = reason;
    }
}

/// Tells of a subscription where its events are made.
#[derive(Clone, Debug)]
pub struct SubscriptionHandle {
    dropped: Counter,
    open: Arc<Open>,
}

impl SubscriptionHandle {
    /// The subscription's span, for the links of its events.
    #[must_use]
    pub fn span(&self) -> &SpanContext {
        &self.open.span
    }

    /// Tells that its client misses events, since it takes others too slowly, or since there were too many.
    pub fn dropped(&self, events: u64) {
        self.open.dropped.fetch_add(events, Ordering::Relaxed);
        self.dropped.increment(events);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        open().remove(&self.open.number);
        let count =
            |number: &AtomicU64| i64::try_from(number.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        let span = self.context.span();
        span.set_attributes([
            KeyValue::new(attribute::SUBSCRIPTION_END, self.reason.as_str()),
            KeyValue::new(attribute::SUBSCRIPTION_EVENTS, count(&self.open.events)),
            KeyValue::new(attribute::SUBSCRIPTION_DROPPED, count(&self.open.dropped)),
        ]);
        span.end();
        self.series.active.decrement(1);
        ended().get((self.series.root_field, self.reason)).increment(1);
    }
}

/// Events that wait to be sent, among those of all subscriptions.
#[derive(Debug)]
pub struct Queued(Gauge);

impl Queued {
    /// An event that waits.
    #[must_use]
    pub fn new() -> Self {
        static QUEUE: LazyLock<Gauge> = LazyLock::new(|| SUBSCRIPTION_QUEUE.gauge(Vec::new()));
        QUEUE.increment(1);
        Self(QUEUE.clone())
    }
}

impl Default for Queued {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// Starts the metrics of the subscriptions of a root field at zero, so that a first one is a rise.
pub fn start_subscription_counters(root_field: &'static str) {
    let series = series().get(root_field);
    series.active.increment(0);
    for counter in [series.started, series.events, series.dropped] {
        counter.increment(0);
    }
    for reason in EndReason::ALL {
        ended().get((root_field, reason)).increment(0);
    }
    drop(Queued::new());
}

fn series() -> &'static HandleCache<&'static str, Series> {
    static SERIES: LazyLock<HandleCache<&'static str, Series>> = LazyLock::new(|| {
        HandleCache::new(|root_field: &&'static str| {
            let label = || vec![Label::new(attribute::ROOT_FIELD, *root_field)];
            Series {
                root_field,
                active: SUBSCRIPTION_ACTIVE.gauge(label()),
                started: SUBSCRIPTION_STARTED.counter(label()),
                events: SUBSCRIPTION_EVENTS.counter(label()),
                dropped: SUBSCRIPTION_DROPPED.counter(label()),
                lag: SUBSCRIPTION_LAG.histogram(label()),
            }
        })
    });
    &SERIES
}

fn ended() -> &'static HandleCache<(&'static str, EndReason), Counter> {
    type Key = (&'static str, EndReason);
    static ENDED: LazyLock<HandleCache<Key, Counter>> = LazyLock::new(|| {
        HandleCache::new(|(root_field, reason): &Key| {
            SUBSCRIPTION_ENDED.counter(vec![
                Label::new(attribute::ROOT_FIELD, *root_field),
                Label::new(attribute::SUBSCRIPTION_END, reason.as_str()),
            ])
        })
    });
    &ENDED
}
