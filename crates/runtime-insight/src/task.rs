//! The registry of tasks that have not ended, each with a name and the operation it works for.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use opentelemetry::trace::SpanContext;
use tokio::runtime::{self, Handle};

use crate::capture::TraceRequest;

/// An operation that tasks work for, such as a request. Tasks inherit it from the task that spawns
/// them.
#[derive(Debug)]
pub struct Operation {
    /// Its name, such as `query Query.books`, and that of its task. From a fixed set: it becomes the
    /// name of tasks and lives for ever.
    pub name: &'static str,
    /// What metrics and profiles group it by, such as its route. From a fixed set, too.
    pub group: &'static str,
    /// Its span, by its ids only: a task that continues must not keep the span from ending.
    pub span: SpanContext,
}

/// Wakers of parts of a task that are registered at most.
const MAX_WAKERS: usize = 8;

/// A task that has not ended.
#[derive(Debug)]
pub struct Task {
    id: u64,
    name: &'static str,
    operation: Option<Arc<Operation>>,
    runtime: runtime::Id,
    spawned: Instant,
    waker: Mutex<Option<Waker>>,
    /// Of parts that are polled only when they themselves are woken.
    part_wakers: Mutex<[Option<Waker>; MAX_WAKERS]>,
    is_requested: AtomicBool,
    request: Mutex<Option<TraceRequest>>,
}

impl Task {
    pub(crate) fn new(name: &'static str, operation: Option<Arc<Operation>>) -> Arc<Self> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let task = Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            name,
            operation,
            runtime: Handle::current().id(),
            spawned: Instant::now(),
            waker: Mutex::default(),
            part_wakers: Mutex::default(),
            is_requested: AtomicBool::new(false),
            request: Mutex::default(),
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
    pub fn operation(&self) -> Option<&Operation> {
        self.operation.as_deref()
    }

    pub(crate) fn share_operation(&self) -> Option<Arc<Operation>> {
        self.operation.clone()
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

    #[cfg(feature = "dump")]
    pub(crate) fn is_live(&self) -> bool {
        shard(self.id).contains_key(&self.id)
    }

    /// Has it capture a trace the next time it is polled, which is soon.
    #[cfg(feature = "dump")]
    pub(crate) fn request_trace(&self, request: TraceRequest) {
        *lock(&self.request) = Some(request);
        self.is_requested.store(true, Ordering::Release);
        for waker in lock(&self.part_wakers).iter().flatten().chain(&*lock(&self.waker)) {
            waker.wake_by_ref();
        }
    }

    /// The request for a trace since the last poll, if there was one. `waker` is the task's own, which
    /// stays the same.
    pub(crate) fn take_request(&self, waker: &Waker) -> Option<TraceRequest> {
        // Before the look at the request: who requests looks for the waker after it.
        let is_first = {
            let mut own = lock(&self.waker);
            let is_first = own.is_none();
            own.get_or_insert_with(|| waker.clone());
            is_first
        };
        if !self.is_requested.load(Ordering::Acquire) {
            return None;
        }
        // At its first poll a task waits nowhere yet: it replies at the next one.
        if is_first {
            waker.wake_by_ref();
            return None;
        }
        self.is_requested.store(false, Ordering::Release);
        lock(&self.request).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The waker of a part of a task that waits beside others, such as in `join_all`, which a dump wakes
/// with the task. Removed when dropped.
#[derive(Debug)]
pub(crate) struct WakerRegistration {
    task: Arc<Task>,
    index: usize,
}

impl WakerRegistration {
    /// None where many parts are registered already: they mostly wait for the same.
    pub(crate) fn new(task: Arc<Task>, waker: &Waker) -> Option<Self> {
        let index = {
            let mut wakers = lock(&task.part_wakers);
            let index = wakers.iter().position(Option::is_none)?;
            wakers[index] = Some(waker.clone());
            index
        };
        Some(Self { task, index })
    }
}

impl Drop for WakerRegistration {
    fn drop(&mut self) {
        lock(&self.task.part_wakers)[self.index].take();
    }
}

/// Tasks by number, sharded, so that workers seldom wait for one another.
type Shard = Mutex<HashMap<u64, Arc<Task>>>;

static LIVE: LazyLock<[Shard; 16]> = LazyLock::new(Default::default);

fn shard(id: u64) -> MutexGuard<'static, HashMap<u64, Arc<Task>>> {
    let index = usize::try_from(id).unwrap_or_default() % LIVE.len();
    lock(&LIVE[index])
}

/// Returns the tasks that have not ended, oldest first.
#[must_use]
pub fn live() -> Vec<Arc<Task>> {
    let mut tasks = Vec::new();
    for shard in LIVE.iter() {
        tasks.extend(lock(shard).values().cloned());
    }
    tasks.sort_unstable_by_key(|task| task.id);
    tasks
}

/// A task's entry in the registry, until it is dropped.
pub(crate) struct Entry(pub(crate) Arc<Task>);

impl Drop for Entry {
    fn drop(&mut self) {
        // It would keep the task, and the task this.
        lock(&self.0.waker).take();
        lock(&self.0.request).take();
        shard(self.0.id).remove(&self.0.id);
    }
}

#[cfg(all(test, feature = "dump"))]
mod tests {
    use std::{sync::mpsc, task::Wake};

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicU64);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_task_replies_to_a_dump_after_its_first_poll() {
        let (replies, _receiver) = mpsc::channel();
        let task = Task::new("is new", None);
        let _entry = Entry(task.clone());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        task.request_trace(TraceRequest::new(task.id(), replies.clone()));
        assert!(task.take_request(&waker).is_none(), "it has not been polled");
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "it is polled again");
        assert!(task.take_request(&waker).is_some());
        assert!(task.take_request(&waker).is_none(), "once");
        task.request_trace(TraceRequest::new(task.id(), replies));
        assert_eq!(woken.0.load(Ordering::Relaxed), 2, "later requests wake it");
        assert!(task.take_request(&waker).is_some());
    }
}
