//! Spawning tasks that have names.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::{
    capture,
    task::{Entry, Operation, Task},
    worker,
};

/// Spawns a task on the current runtime. It works for the operation of the task that spawns it.
///
/// ```
/// # #[tokio::main] async fn main() {
/// let price = runtime_insight::spawn("price feed", async { 42 }).await;
/// assert_eq!(price.unwrap(), 42);
/// # }
/// ```
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn<F>(name: &'static str, work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    spawn_task(Task::new(name, inherited()), work)
}

/// Spawns the task of an operation.
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn_operation<F>(operation: Operation, work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    spawn_task(Task::new(operation.name, Some(Arc::new(operation))), work)
}

/// Spawns a task that is aborted when `set` is dropped. It works for the operation of the task that
/// spawns it.
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn_in<F, T>(set: &mut JoinSet<T>, name: &'static str, work: F) -> AbortHandle
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let task = Task::new(name, inherited());
    recorded(Tracked::new(task, work), |work| {
        #[cfg(tokio_unstable)]
        return set.build_task().name(name).spawn(work).expect("inside a runtime");
        #[cfg(not(tokio_unstable))]
        set.spawn(work)
    })
}

fn spawn_task<F>(task: Arc<Task>, work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    #[cfg(tokio_unstable)]
    let name = task.name();
    recorded(Tracked::new(task, work), |work| {
        #[cfg(tokio_unstable)]
        return tokio::task::Builder::new().name(name).spawn(work).expect("inside a runtime");
        #[cfg(not(tokio_unstable))]
        #[expect(clippy::disallowed_methods, reason = "names are unstable")]
        tokio::spawn(work)
    })
}

/// Has the flight recorder see when the task is woken, and by what.
#[cfg(feature = "flight-recorder")]
fn recorded<F, H>(work: Tracked<F>, spawn: impl FnOnce(dial9::TracedFuture<Tracked<F>>) -> H) -> H
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    dial9::Dial9TokioHandle::current().spawn_with(work, spawn)
}

#[cfg(not(feature = "flight-recorder"))]
fn recorded<F, H>(work: Tracked<F>, spawn: impl FnOnce(Tracked<F>) -> H) -> H {
    spawn(work)
}

fn inherited() -> Option<Arc<Operation>> {
    worker::current_task()?.share_operation()
}

pin_project! {
    /// A task's work.
    #[project = Projected]
    struct Tracked<F> {
        entry: Entry,
        #[pin]
        work: F,
    }
}

impl<F> Tracked<F> {
    fn new(task: Arc<Task>, work: F) -> Self {
        Self { entry: Entry(task), work }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Projected { entry: Entry(task), work } = self.project();
        // Else the runtime calls the hooks, for tasks of libraries too.
        #[cfg(not(tokio_unstable))]
        let _poll = crate::hooks::PollGuard::begin();
        worker::enter_task(task);
        let Some(request) = task.take_request(context.waker()) else { return work.poll(context) };
        let (result, trace) = capture::capture(|| work.poll(context));
        request.reply(trace);
        result
    }
}
