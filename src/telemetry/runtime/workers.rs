//! What each worker thread of the runtime is doing at this moment, for the watchdog, which looks
//! from outside: a poll that goes on, the task it is of, the field that is being resolved.

use std::{
    cell::Cell,
    panic::Location,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{self, Poll},
    time::{Duration, Instant},
};

use opentelemetry::trace::SpanContext;
use pin_project_lite::pin_project;

use super::{
    cpu::timeline,
    tasks::{Part, Task},
    watchdog,
};

/// Nanoseconds of [`slow_poll`].
static SLOW_POLL: AtomicU64 = AtomicU64::new(10_000_000);
/// One for each worker, once a process.
static WORKERS: OnceLock<Vec<Worker>> = OnceLock::new();

thread_local! {
    /// The worker that this thread is, during a poll.
    static HERE: Cell<Option<&'static Worker>> = const { Cell::new(None) };
    /// This thread's number in the operating system.
    static THREAD: Cell<u32> = const { Cell::new(0) };
}

/// A poll that holds a worker for longer keeps other tasks from it.
#[must_use]
pub fn slow_poll() -> Duration {
    Duration::from_nanos(SLOW_POLL.load(Ordering::Relaxed))
}

/// Sets what counts as slow.
pub(super) fn set_slow_poll(limit: Duration) {
    SLOW_POLL.store(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// The runtime's workers. None before it was built.
#[must_use]
pub fn all() -> &'static [Worker] {
    WORKERS.get().map_or(&[], Vec::as_slice)
}

/// Whether tasks and polls are measured.
#[must_use]
pub fn are_watched() -> bool {
    WORKERS.get().is_some()
}

/// Says how many workers there are.
pub(super) fn install(count: usize) {
    let worker = |index| Worker { index, poll: Mutex::default() };
    let _ = WORKERS.set((0..count).map(worker).collect());
}

/// A worker thread of the runtime.
#[derive(Debug)]
pub struct Worker {
    index: usize,
    poll: Mutex<Option<CurrentPoll>>,
}

/// A poll that goes on.
#[derive(Clone, Debug)]
pub struct CurrentPoll {
    /// The thread's number in the operating system.
    pub thread: u32,
    /// When it began.
    pub since: Instant,
    /// Where the task was spawned.
    pub spawned_at: &'static Location<'static>,
    /// The task, if it is one of ours and not a library's.
    pub task: Option<Arc<Task>>,
    /// The field that is being resolved.
    pub place: Option<Arc<Place>>,
    /// The field that was being resolved when the poll became slow, if it is over.
    pub culprit: Option<Arc<Place>>,
    /// Whether the watchdog has told of it.
    pub told: bool,
}

/// Where in an operation work is done.
#[derive(Debug)]
pub struct Place {
    /// The field.
    pub coordinate: &'static str,
    /// Its span.
    pub span: SpanContext,
}

impl Worker {
    /// Its number, from 0 on.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// What it is doing; nothing if it is parked or between two polls.
    #[must_use]
    pub fn current(&self) -> Option<CurrentPoll> {
        self.poll().clone()
    }

    /// The poll it is in if it has gone on for longer than `limit` and was not yet told of. It is
    /// taken as told from now on.
    #[must_use]
    pub fn tell(&self, limit: Duration) -> Option<CurrentPoll> {
        let mut poll = self.poll();
        let poll = poll.as_mut().filter(|poll| !poll.told && poll.since.elapsed() > limit)?;
        poll.told = true;
        Some(poll.clone())
    }

    fn poll(&self) -> MutexGuard<'_, Option<CurrentPoll>> {
        self.poll.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread of the runtime starts.
pub(super) fn thread_starts() {
    // "1234/task/1239"
    let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let number = link.file_name().and_then(|name| name.to_str()?.parse().ok());
    THREAD.set(number.unwrap_or_default());
}

/// The runtime is about to poll a task on this thread.
pub(super) fn poll_begins(spawned_at: &'static Location<'static>) {
    let index = tokio::runtime::worker_index();
    let Some(worker) = index.and_then(|index| all().get(index)) else { return };
    HERE.set(Some(worker));
    *worker.poll() = Some(CurrentPoll {
        thread: THREAD.get(),
        since: Instant::now(),
        spawned_at,
        task: None,
        place: None,
        culprit: None,
        told: false,
    });
}

/// It has polled it.
pub(super) fn poll_ended() {
    let Some(worker) = HERE.take() else { return };
    let Some(poll) = worker.poll().take() else { return };
    timeline::ended(&poll);
    if !poll.told && poll.since.elapsed() > slow_poll() {
        watchdog::tell(worker, &poll, true);
    }
}

/// The task that is being polled, if it is one of ours.
#[must_use]
pub fn current_task() -> Option<Arc<Task>> {
    HERE.get()?.poll().as_ref()?.task.clone()
}

/// This poll is of `task`.
pub(super) fn enter_task(task: &Arc<Task>) {
    if let Some(worker) = HERE.get()
        && let Some(poll) = &mut *worker.poll()
    {
        poll.task = Some(task.clone());
    }
}

pin_project! {
    /// Work that is done at a place.
    pub struct At<F> {
        place: Arc<Place>,
        part: Option<Part>,
        #[pin]
        work: F,
    }
}

/// Does `work` at `place`.
pub fn at<F: Future>(place: Arc<Place>, work: F) -> At<F> {
    At { place, part: None, work }
}

impl<F: Future> Future for At<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(worker) = HERE.get() else { return this.work.poll(context) };
        let mut outer = None;
        if let Some(poll) = &mut *worker.poll() {
            outer = poll.place.replace(this.place.clone());
        }
        let result = this.work.poll(context);
        if let Some(poll) = &mut *worker.poll() {
            let left = std::mem::replace(&mut poll.place, outer);
            if poll.culprit.is_none() && poll.since.elapsed() > slow_poll() {
                poll.culprit = left;
            }
            if result.is_pending() && this.part.is_none() {
                *this.part =
                    poll.task.clone().and_then(|task| Part::register(task, context.waker()));
            }
        }
        result
    }
}
