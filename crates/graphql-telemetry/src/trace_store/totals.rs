//! Figures of all operations since the start, by root field.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use foldhash::fast::RandomState;
use opentelemetry::TraceId;
use serde::Serialize;

use super::{
    OperationSummary,
    view::{text, time},
};
use crate::latency::{Latencies, LatencySummary};

/// Root fields that are counted; a schema has fewer.
const MAX_ROOT_FIELDS: usize = 1000;
/// The seconds that a rate is of.
const WINDOW: u32 = 60;

/// The figures of operations since the start.
pub(super) struct Totals {
    since: SystemTime,
    clock: Instant,
    root_fields: RwLock<HashMap<&'static str, Arc<RootField>, RandomState>>,
}

#[derive(Default)]
struct RootField {
    durations: Latencies,
    state: Mutex<State>,
}

struct State {
    errors: u64,
    slow_polls: u64,
    busy: f64,
    scheduled: f64,
    idle: f64,
    slowest: (Duration, TraceId),
    /// Operations of each of the last seconds, with the second's number.
    seconds: [(u64, u32); WINDOW as usize],
}

impl Default for State {
    fn default() -> Self {
        Self {
            errors: 0,
            slow_polls: 0,
            busy: 0.0,
            scheduled: 0.0,
            idle: 0.0,
            slowest: (Duration::ZERO, TraceId::INVALID),
            seconds: [(0, 0); WINDOW as usize],
        }
    }
}

/// All operations since the start, by root field.
#[derive(Clone, Debug, Serialize)]
pub struct RootFields {
    /// The start.
    #[serde(serialize_with = "time")]
    pub since: SystemTime,
    /// Each root field, the one that took the most time first.
    pub root_fields: Vec<RootFieldSummary>,
}

/// The operations with one root field. Times are in seconds.
#[derive(Clone, Debug, Serialize)]
pub struct RootFieldSummary {
    /// Its coordinate.
    pub root_field: &'static str,
    #[serde(flatten)]
    durations: LatencySummary,
    /// How many had an error.
    pub errors: u64,
    /// Their slow polls.
    pub slow_polls: u64,
    /// Operations per second, in the last minute.
    pub rate: f64,
    /// Time inside polls.
    pub busy: f64,
    /// Time woken, and waiting for a worker.
    pub scheduled: f64,
    /// Time waiting for something else.
    pub idle: f64,
    /// The trace of the longest, which may not be stored any more.
    #[serde(serialize_with = "text")]
    pub slowest_trace_id: TraceId,
}

impl Default for Totals {
    fn default() -> Self {
        Self { since: SystemTime::now(), clock: Instant::now(), root_fields: RwLock::default() }
    }
}

impl Totals {
    pub fn record(&self, operation: &OperationSummary) {
        let Some(root_field) = operation.root_field.and_then(|name| self.root_field(name)) else {
            return;
        };
        root_field.durations.record(operation.duration);
        let mut state = root_field.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.record(operation, self.clock.elapsed().as_secs());
    }

    fn root_field(&self, name: &'static str) -> Option<Arc<RootField>> {
        let known = self.root_fields.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(name) {
            return Some(known.clone());
        }
        drop(known);
        let mut known = self.root_fields.write().unwrap_or_else(PoisonError::into_inner);
        (known.len() < MAX_ROOT_FIELDS).then(|| known.entry(name).or_default().clone())
    }

    pub fn summary(&self) -> RootFields {
        let now = self.clock.elapsed();
        let known = self.root_fields.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> =
            known.iter().map(|(name, root_field)| root_field.summary(name, now)).collect();
        all.sort_by(|a, b| b.time().total_cmp(&a.time()));
        RootFields { since: self.since, root_fields: all }
    }
}

impl State {
    fn record(&mut self, operation: &OperationSummary, second: u64) {
        self.errors += u64::from(operation.error.is_some());
        let task = &operation.task;
        let slow_polls = task.slow_polls.and_then(|count| u64::try_from(count).ok());
        self.slow_polls += slow_polls.unwrap_or(0);
        self.busy += task.busy.unwrap_or(0.0);
        self.scheduled += task.scheduled.unwrap_or(0.0);
        self.idle += task.idle.unwrap_or(0.0);
        if operation.duration >= self.slowest.0 {
            self.slowest = (operation.duration, operation.trace_id);
        }
        let slot = usize::try_from(second % u64::from(WINDOW)).unwrap_or(0);
        let (of, count) = &mut self.seconds[slot];
        if *of != second {
            (*of, *count) = (second, 0);
        }
        *count += 1;
    }

    /// Operations per second in the last minute, or since the start if that is less.
    fn rate(&self, now: Duration) -> f64 {
        let last = now.as_secs();
        let recent = self.seconds.iter().filter(|(second, _)| second + u64::from(WINDOW) > last);
        let count: u32 = recent.map(|(_, count)| count).sum();
        f64::from(count) / now.as_secs_f64().clamp(1.0, f64::from(WINDOW))
    }
}

impl RootField {
    fn summary(&self, root_field: &'static str, now: Duration) -> RootFieldSummary {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        RootFieldSummary {
            root_field,
            durations: self.durations.summary(),
            errors: state.errors,
            slow_polls: state.slow_polls,
            rate: state.rate(now),
            busy: state.busy,
            scheduled: state.scheduled,
            idle: state.idle,
            slowest_trace_id: state.slowest.1,
        }
    }
}

impl RootFieldSummary {
    /// The time of all of them.
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    fn time(&self) -> f64 {
        self.durations.mean * self.durations.count as f64
    }
}
