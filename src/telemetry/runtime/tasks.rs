//! The tasks that the service spawns: each has a name, knows the operation it works for, and can
//! say where it is parked. A task that is spawned by an operation's task works for that operation.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{self, Poll, Waker},
    time::{Duration, Instant},
};

use dial9::Dial9TokioHandle;
use opentelemetry::trace::SpanContext;
use pin_project_lite::pin_project;
use tokio::{
    runtime::{self, Handle},
    task::{AbortHandle, Builder, JoinHandle, JoinSet},
};

use super::{
    capture::{self, Asked},
    workers,
};

/// An operation that tasks work for.
#[derive(Debug)]
pub struct OperationTag {
    /// Such as `query Query.books`: of the schema's names, and none of the client's.
    pub name: &'static str,
    /// The coordinate of its root field.
    pub root_field: &'static str,
    /// Its span, by name only: a task that goes on must not keep the span from ending.
    pub span: SpanContext,
}

/// Parts of a task that can say where they wait.
const PARTS: usize = 8;

/// A task that has not ended.
#[derive(Debug)]
pub struct Task {
    id: u64,
    name: &'static str,
    operation: Option<Arc<OperationTag>>,
    runtime: runtime::Id,
    spawned: Instant,
    waker: Mutex<Option<Waker>>,
    /// What wakes parts of it that are polled only when they themselves are woken.
    parts: Mutex<[Option<Waker>; PARTS]>,
    is_asked: AtomicBool,
    asked: Mutex<Option<Asked>>,
}

impl Task {
    fn new(name: &'static str, operation: Option<Arc<OperationTag>>) -> Arc<Self> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let task = Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            name,
            operation,
            runtime: Handle::current().id(),
            spawned: Instant::now(),
            waker: Mutex::default(),
            parts: Mutex::default(),
            is_asked: AtomicBool::new(false),
            asked: Mutex::default(),
        });
        shard(task.id).insert(task.id, task.clone());
        task
    }

    /// Its number in this process.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Its name, which many tasks may share.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The operation it works for.
    #[must_use]
    pub fn operation(&self) -> Option<&OperationTag> {
        self.operation.as_deref()
    }

    /// The runtime it is a task of.
    #[must_use]
    pub const fn runtime(&self) -> runtime::Id {
        self.runtime
    }

    /// How long ago it was spawned.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.spawned.elapsed()
    }

    /// Has it say where it is parked, the next time it is polled, which is soon.
    pub(super) fn ask(&self, asked: Asked) {
        *self.asked() = Some(asked);
        self.is_asked.store(true, Ordering::Release);
        for waker in self.parts().iter().flatten().chain(&*self.waker()) {
            waker.wake_by_ref();
        }
    }

    fn parts(&self) -> MutexGuard<'_, [Option<Waker>; PARTS]> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, Option<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of a task that waits, such as a field beside others.
#[derive(Debug)]
pub struct Part {
    task: Arc<Task>,
    index: usize,
}

impl Part {
    /// Has `waker` woken when `task` is asked where it is parked. Not if many parts are already:
    /// they mostly wait for the same.
    pub fn register(task: Arc<Task>, waker: &Waker) -> Option<Self> {
        let index = {
            let mut parts = task.parts();
            let index = parts.iter().position(Option::is_none)?;
            parts[index] = Some(waker.clone());
            index
        };
        Some(Self { task, index })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.task.parts()[self.index].take();
    }
}

/// Tasks by number, in several parts, so that workers seldom wait for one another.
type Shard = Mutex<HashMap<u64, Arc<Task>>>;

static LIVE: LazyLock<[Shard; 16]> = LazyLock::new(Default::default);

fn shard(id: u64) -> MutexGuard<'static, HashMap<u64, Arc<Task>>> {
    let index = usize::try_from(id).unwrap_or_default() % LIVE.len();
    LIVE[index].lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tasks that have not ended, oldest first.
#[must_use]
pub fn live() -> Vec<Arc<Task>> {
    let mut tasks = Vec::new();
    for shard in LIVE.iter() {
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.extend(shard.values().cloned());
    }
    tasks.sort_unstable_by_key(|task| task.id);
    tasks
}

/// Spawns a task of the runtime that this is called in.
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn<F>(name: &'static str, work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let task = Task::new(name, inherited());
    spawn_task(task, work)
}

/// Spawns the task of an operation.
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn_operation<F>(operation: OperationTag, work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let task = Task::new(operation.name, Some(Arc::new(operation)));
    spawn_task(task, work)
}

/// Spawns a task that ends with `set`.
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn_in<F, T>(set: &mut JoinSet<T>, name: &'static str, work: F) -> AbortHandle
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let task = Task::new(name, inherited());
    Dial9TokioHandle::current().spawn_with(Tracked::new(task.clone(), work), |work| {
        set.build_task().name(task.name).spawn(work).expect("inside a runtime")
    })
}

fn spawn_task<F>(task: Arc<Task>, work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    Dial9TokioHandle::current().spawn_with(Tracked::new(task.clone(), work), |work| {
        Builder::new().name(task.name).spawn(work).expect("inside a runtime")
    })
}

fn inherited() -> Option<Arc<OperationTag>> {
    workers::current_task()?.operation.clone()
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

    fn poll(self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<F::Output> {
        let Projected { entry: Entry(task), work } = self.project();
        workers::enter_task(task);
        if !task.is_asked.load(Ordering::Acquire) {
            // The waker of a task stays the same.
            task.waker().get_or_insert_with(|| context.waker().clone());
            return work.poll(context);
        }
        task.is_asked.store(false, Ordering::Release);
        let asked = task.asked().take();
        let (result, trace) = capture::capture(|| work.poll(context));
        if let Some(asked) = asked {
            asked.answer(trace);
        }
        result
    }
}

/// A task's place among those that live.
struct Entry(Arc<Task>);

impl Drop for Entry {
    fn drop(&mut self) {
        // It would keep the task, and the task this.
        self.0.waker().take();
        self.0.asked().take();
        shard(self.0.id).remove(&self.0.id);
    }
}
