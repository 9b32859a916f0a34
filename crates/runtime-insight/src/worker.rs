//! What each worker thread is doing at this moment: the poll, its task, the section of work. The
//! watchdog and dumps look at it from outside.

use std::{
    panic::Location,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use opentelemetry::trace::SpanContext;
use pin_project_lite::pin_project;

use crate::task::{Task, WakerRegistration};

/// Nanoseconds of [`slow_poll`].
static SLOW_POLL: AtomicU64 = AtomicU64::new(10_000_000);
static IS_WATCHED: AtomicBool = AtomicBool::new(false);
/// The threads that have polled a task and live.
static THREADS: Mutex<Vec<Arc<Worker>>> = Mutex::new(Vec::new());

thread_local! {
    static HERE: Registration = Registration::new();
}

/// Returns the duration from which on a poll is slow: it keeps other tasks from the worker. 10 ms
/// unless [`Builder::slow_poll`](crate::Builder::slow_poll) says otherwise.
#[must_use]
pub fn slow_poll() -> Duration {
    Duration::from_nanos(SLOW_POLL.load(Ordering::Relaxed))
}

/// Returns whether polls are watched: whether a runtime was built by [`Builder`](crate::Builder).
#[must_use]
pub fn is_watched() -> bool {
    IS_WATCHED.load(Ordering::Relaxed)
}

pub(crate) fn watch(slow_poll: Duration) {
    let nanos = u64::try_from(slow_poll.as_nanos()).unwrap_or(u64::MAX);
    SLOW_POLL.store(nanos, Ordering::Relaxed);
    IS_WATCHED.store(true, Ordering::Relaxed);
}

/// Returns the threads that have polled tasks, in the order of their first poll.
#[must_use]
pub fn all() -> Vec<Arc<Worker>> {
    threads().clone()
}

fn threads() -> MutexGuard<'static, Vec<Arc<Worker>>> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that polls tasks.
#[derive(Debug)]
pub struct Worker {
    thread: u32,
    poll: Mutex<Option<CurrentPoll>>,
}

/// A poll in progress.
#[derive(Clone, Debug)]
pub struct CurrentPoll {
    /// The number of the worker in its runtime; 0 without `--cfg tokio_unstable`.
    pub worker: usize,
    /// The thread's id in the operating system; 0 elsewhere than on Linux.
    pub thread: u32,
    /// When it began.
    pub since: Instant,
    /// Where the task was spawned; unknown without `--cfg tokio_unstable`.
    pub spawned_at: Option<&'static Location<'static>>,
    /// The task, if it was spawned by this crate.
    pub task: Option<Arc<Task>>,
    /// The section of work.
    pub section: Option<Arc<Section>>,
    /// The section in which the poll became slow, if that is over.
    pub slow_section: Option<Arc<Section>>,
    /// Whether it was reported as slow.
    pub(crate) is_reported: bool,
}

/// A part of an operation's work, such as the resolution of a field.
#[derive(Debug)]
pub struct Section {
    /// Its name, from a fixed set.
    pub name: &'static str,
    /// Its span.
    pub span: SpanContext,
}

impl Worker {
    /// Returns the poll in progress; none if it is parked or between two polls.
    #[must_use]
    pub fn current(&self) -> Option<CurrentPoll> {
        self.poll().clone()
    }

    /// Returns the poll in progress if it has taken longer than `limit` and was not yet reported, and
    /// marks it as reported.
    pub(crate) fn report(&self, limit: Duration) -> Option<CurrentPoll> {
        let mut poll = self.poll();
        let poll =
            poll.as_mut().filter(|poll| !poll.is_reported && poll.since.elapsed() > limit)?;
        poll.is_reported = true;
        Some(poll.clone())
    }

    fn poll(&self) -> MutexGuard<'_, Option<CurrentPoll>> {
        self.poll.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This thread among the workers, until it ends.
struct Registration(Arc<Worker>);

impl Registration {
    fn new() -> Self {
        let worker = Arc::new(Worker { thread: thread_id(), poll: Mutex::default() });
        threads().push(worker.clone());
        Self(worker)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        threads().retain(|worker| !Arc::ptr_eq(worker, &self.0));
    }
}

/// The thread's id in the operating system.
fn thread_id() -> u32 {
    // "1234/task/1239"
    let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let id = link.file_name().and_then(|name| name.to_str()?.parse().ok());
    id.unwrap_or_default()
}

fn worker_index() -> Option<usize> {
    #[cfg(tokio_unstable)]
    return tokio::runtime::worker_index();
    #[cfg(not(tokio_unstable))]
    Some(0)
}

/// A task is about to be polled on this thread.
pub(crate) fn begin_poll(spawned_at: Option<&'static Location<'static>>) {
    let Some(worker) = worker_index() else { return };
    let _ = HERE.try_with(|Registration(here)| {
        *here.poll() = Some(CurrentPoll {
            worker,
            thread: here.thread,
            since: Instant::now(),
            spawned_at,
            task: None,
            section: None,
            slow_section: None,
            is_reported: false,
        });
    });
}

/// It was polled. Returns what that was.
pub(crate) fn end_poll() -> Option<CurrentPoll> {
    HERE.try_with(|Registration(here)| here.poll().take()).ok()?
}

fn with_poll<T>(work: impl FnOnce(&mut CurrentPoll) -> T) -> Option<T> {
    if !is_watched() {
        return None;
    }
    HERE.try_with(|Registration(here)| here.poll().as_mut().map(work)).ok()?
}

/// Returns the task that is being polled, if it was spawned by this crate.
#[must_use]
pub fn current_task() -> Option<Arc<Task>> {
    with_poll(|poll| poll.task.clone())?
}

/// This poll is of `task`.
pub(crate) fn enter_task(task: &Arc<Task>) {
    with_poll(|poll| poll.task = Some(task.clone()));
}

pin_project! {
    /// The future of [`in_section`].
    pub struct InSection<F> {
        section: Arc<Section>,
        registration: Option<WakerRegistration>,
        #[pin]
        work: F,
    }
}

/// Does `work` as a part of the current task's work that slow polls and dumps name.
pub fn in_section<F: Future>(section: Arc<Section>, work: F) -> InSection<F> {
    InSection { section, registration: None, work }
}

impl<F: Future> Future for InSection<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(outer) = with_poll(|poll| poll.section.replace(this.section.clone())) else {
            return this.work.poll(context);
        };
        let result = this.work.poll(context);
        with_poll(|poll| {
            let left = std::mem::replace(&mut poll.section, outer);
            if poll.slow_section.is_none() && poll.since.elapsed() > slow_poll() {
                poll.slow_section = left;
            }
            if result.is_pending() && this.registration.is_none() {
                let task = poll.task.clone();
                *this.registration =
                    task.and_then(|task| WakerRegistration::new(task, context.waker()));
            }
        });
        result
    }
}
