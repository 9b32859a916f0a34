//! The watchdog: a thread outside the runtime that sees polls that are too long while they go on,
//! so that even a runtime whose workers are all blocked is reported.
//!
//! A slow poll is counted and told once: by the worker when the poll ends, which is soon for most
//! and then with its whole duration; by the watchdog if it does not end.

use std::{
    io,
    sync::{LazyLock, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use metrics::{Counter, Label};
use opentelemetry::{Context, trace::TraceContextExt};
use tracing::warn;

use super::workers::{self, CurrentPoll, Worker, slow_poll};
use crate::telemetry::{
    names::{SLOW_POLLS, own},
    series::Series,
};

/// How often the watchdog looks, and for how long a poll may be slow before it is told of while
/// it goes on.
const INTERVAL: Duration = Duration::from_millis(25);
/// Slow polls that are told of a second; the others are only counted.
const TOLD_PER_SECOND: u32 = 10;
/// The root field of what is no operation.
const RUNTIME: &str = "_RUNTIME";

/// Starts the thread, which ends with the process.
///
/// # Errors
/// If the operating system refuses.
pub fn start() -> io::Result<()> {
    start_counter(RUNTIME);
    thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
    Ok(())
}

/// Starts the counter of a root field at zero, so that the first slow poll is a rise.
pub fn start_counter(root_field: &'static str) {
    slow_polls().of(root_field).increment(0);
}

fn watch() {
    loop {
        thread::sleep(INTERVAL);
        for worker in workers::all() {
            if let Some(poll) = worker.tell(slow_poll() + INTERVAL) {
                tell(worker, &poll, false);
            }
        }
    }
}

/// The workers that have been in one poll for longer than `limit`, if that is all of them: then
/// nothing is answered any more.
#[must_use]
pub fn stalled(limit: Duration) -> Option<Vec<(&'static Worker, CurrentPoll)>> {
    let stuck = |worker: &'static Worker| {
        let poll = worker.current().filter(|poll| poll.since.elapsed() > limit)?;
        Some((worker, poll))
    };
    let stuck: Option<Vec<_>> = workers::all().iter().map(stuck).collect();
    stuck.filter(|stuck| !stuck.is_empty())
}

/// Counts a slow poll and tells of it.
pub(super) fn tell(worker: &Worker, poll: &CurrentPoll, ended: bool) {
    let duration = poll.since.elapsed();
    let operation = poll.task.as_ref().and_then(|task| task.operation());
    slow_polls().of(operation.map_or(RUNTIME, |operation| operation.root_field)).increment(1);
    let Some(untold) = Limiter::admit() else { return };
    let place = poll.culprit.as_ref().or(poll.place.as_ref());
    let task = poll.task.as_ref().map(|task| task.name());
    // Ours are all spawned at one place.
    let spawned_at = task.is_none().then(|| poll.spawned_at.to_string());
    // So that the line and the record name the operation's span.
    let _in_its_span = operation.map(|operation| {
        Context::current().with_remote_span_context(operation.span.clone()).attach()
    });
    warn!(
        name: "tokio.slow_poll",
        task,
        operation = operation.map(|operation| operation.name),
        { own::FIELD_COORDINATE } = place.map(|place| place.coordinate),
        field_span_id = place.map(|place| place.span.span_id().to_string()),
        { own::WORKER } = worker.index(),
        duration = duration.as_secs_f64(),
        ended,
        spawned_at,
        untold,
        "a poll held a worker for {duration:.1?}{}",
        if ended { "" } else { " so far" },
    );
}

fn slow_polls() -> &'static Series<&'static str, Counter> {
    static SLOW: LazyLock<Series<&'static str, Counter>> = LazyLock::new(|| {
        Series::new(|root_field: &&'static str| {
            SLOW_POLLS.counter(vec![Label::from_static_parts(own::ROOT_FIELD, root_field)])
        })
    });
    &SLOW
}

/// Keeps a service in trouble from drowning in its own reports.
struct Limiter {
    second: Instant,
    told: u32,
    untold: u64,
}

impl Limiter {
    /// How many were not told of since the last that was, or none if this one is not to be told
    /// of either.
    fn admit() -> Option<u64> {
        static LIMITER: LazyLock<Mutex<Limiter>> =
            LazyLock::new(|| Mutex::new(Limiter { second: Instant::now(), told: 0, untold: 0 }));
        let mut limiter = LIMITER.lock().unwrap_or_else(PoisonError::into_inner);
        if limiter.second.elapsed() > Duration::from_secs(1) {
            (limiter.second, limiter.told) = (Instant::now(), 0);
        }
        if limiter.told == TOLD_PER_SECOND {
            limiter.untold += 1;
            return None;
        }
        limiter.told += 1;
        Some(std::mem::take(&mut limiter.untold))
    }
}
