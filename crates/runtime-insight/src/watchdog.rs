//! The watchdog: a thread outside the runtime that sees slow polls while they last, so that even a
//! runtime whose workers are all blocked is reported.
//!
//! A slow poll is reported once: by its worker when it ends, which is soon for most and then with its
//! whole duration; by the watchdog if it does not end.

use std::{
    io,
    panic::Location,
    sync::{Once, OnceLock},
    thread,
    time::Duration,
};

use opentelemetry::{Context, trace::TraceContextExt};
use tracing::warn;

use crate::{
    rate_limiter::RateLimiter,
    task::{Operation, Task},
    worker::{self, CurrentPoll, Section, slow_poll},
};

/// How often the watchdog looks, and how much longer than a slow poll one lasts that it reports.
const INTERVAL: Duration = Duration::from_millis(25);

/// Receives each slow poll, on the thread of the worker or of the watchdog. It must not block.
pub type Report = fn(&SlowPoll<'_>);

static REPORT: OnceLock<Report> = OnceLock::new();

/// A poll that took longer than [`slow_poll`], or does.
#[derive(Debug)]
pub struct SlowPoll<'a> {
    poll: &'a CurrentPoll,
    ended: bool,
}

impl SlowPoll<'_> {
    /// The worker, by its number in its runtime.
    #[must_use]
    pub const fn worker(&self) -> usize {
        self.poll.worker
    }

    /// The task, if it was spawned by this crate.
    #[must_use]
    pub fn task(&self) -> Option<&Task> {
        self.poll.task.as_deref()
    }

    /// The operation that the task works for.
    #[must_use]
    pub fn operation(&self) -> Option<&Operation> {
        self.task()?.operation()
    }

    /// The section of work in which the poll became slow or, if it is outside of any, the current one.
    #[must_use]
    pub fn section(&self) -> Option<&Section> {
        self.poll.slow_section.as_deref().or(self.poll.section.as_deref())
    }

    /// Where a task of a library was spawned.
    #[must_use]
    pub fn spawned_at(&self) -> Option<&'static Location<'static>> {
        self.poll.spawned_at.filter(|_| self.task().is_none())
    }

    /// How long it took, or has taken so far.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.poll.since.elapsed()
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// The context of the operation's span or, where the task works for none, of the section's, for what
    /// is logged about the poll.
    #[must_use]
    pub fn context(&self) -> Context {
        let span = self.operation().map(|operation| &operation.span);
        let span = span.or(self.section().map(|section| &section.span)).cloned();
        let current = Context::current();
        span.map_or_else(|| current.clone(), |span| current.with_remote_span_context(span))
    }
}

/// Logs a slow poll as a warning, ten a second at most.
pub fn log(slow: &SlowPoll<'_>) {
    static LIMITER: RateLimiter = RateLimiter::new(10.0, 10.0);
    let Some(suppressed) = LIMITER.admit() else { return };
    let _in_span = slow.context().attach();
    warn!(
        name: "tokio.slow_poll",
        {
            tokio.task.name = slow.task().map(Task::name),
            tokio.task.operation = slow.operation().map(|operation| operation.name),
            tokio.task.section = slow.section().map(|section| section.name),
            tokio.worker = slow.worker().to_string(),
            tokio.poll.duration = slow.duration().as_secs_f64(),
            tokio.poll.ended = slow.ended,
            tokio.task.spawned_at = slow.spawned_at().map(ToString::to_string),
            tokio.poll.suppressed = suppressed
        },
        "slow poll: worker blocked for {:.1?}{}",
        slow.duration(),
        if slow.ended { "" } else { " so far" },
    );
}

/// Starts the thread, which ends with the process, unless it runs.
pub(crate) fn start(report: Report) -> io::Result<()> {
    static STARTED: Once = Once::new();
    let mut result = Ok(());
    STARTED.call_once(|| {
        let _ = REPORT.set(report);
        result = thread::Builder::new().name("watchdog".to_owned()).spawn(watch).map(|_| ());
    });
    result
}

fn watch() {
    loop {
        thread::sleep(INTERVAL);
        for worker in worker::all() {
            if let Some(poll) = worker.report(slow_poll() + INTERVAL) {
                report(&poll, false);
            }
        }
    }
}

/// A poll has ended on this thread.
pub(crate) fn poll_ended(poll: &CurrentPoll) {
    if !poll.is_reported && poll.since.elapsed() > slow_poll() {
        report(poll, true);
    }
}

fn report(poll: &CurrentPoll, ended: bool) {
    if let Some(report) = REPORT.get() {
        report(&SlowPoll { poll, ended });
    }
}

/// Returns the polls that have lasted longer than `limit`, if they hold each of `workers` workers:
/// then the runtime does nothing any more.
#[must_use]
pub fn stalled(workers: usize, limit: Duration) -> Option<Vec<CurrentPoll>> {
    let polls = worker::all().into_iter().filter_map(|worker| worker.current());
    let stuck: Vec<_> = polls.filter(|poll| poll.since.elapsed() > limit).collect();
    (workers > 0 && stuck.len() >= workers).then_some(stuck)
}
