//! A dump of all live tasks: what each is called, works for, and where it is parked.
//!
//! Each task captures its own trace when it is polled next, so that a task that holds a worker
//! keeps only itself from being seen; tokio's own `Handle::dump` would wait for every worker.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, TryLockError,
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use opentelemetry::trace::SpanContext;
use serde::Serialize;
use tokio::runtime::Handle;

use super::{
    capture::{self, Asked, Trace},
    symbols::{self, Frame},
    tasks::{self, Task},
    workers::{self, CurrentPoll, Worker},
};

/// How long to wait for a further answer before looking which tasks cannot give one.
const PATIENCE: Duration = Duration::from_millis(100);

/// The live tasks at one moment.
#[derive(Debug, Serialize)]
pub struct Dump {
    /// The service's tasks, oldest first.
    pub tasks: Vec<TaskDump>,
    /// Further tasks of the runtime, which libraries have spawned.
    pub others: usize,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct TaskDump {
    /// Its number in this process.
    pub id: u64,
    /// Its name.
    pub name: &'static str,
    /// The operation it works for.
    pub operation: Option<&'static str>,
    /// The operation's trace.
    pub trace_id: Option<String>,
    /// Seconds since it was spawned.
    pub age: f64,
    /// What it is doing.
    #[serde(flatten)]
    pub state: State,
}

/// What a task is doing.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It waits: in each of these places at the same time.
    Parked {
        /// From the task's outermost function to where it waits.
        stacks: Vec<Vec<Frame>>,
    },
    /// It has been in one poll since before it was asked.
    Running {
        /// The worker that it holds.
        worker: usize,
        /// For how long, in seconds.
        seconds: f64,
        /// The field that is being resolved.
        field: Option<&'static str>,
    },
    /// It has work to do, and no worker came to it in time.
    Scheduled,
    /// It ended while it was asked.
    Ended,
}

/// Dumps the tasks of the service, whose runtime is `runtime`. Blocks, for `limit` at most and the
/// time it takes to find the names of functions, a second or so the first time.
///
/// # Errors
/// If another dump is under way, or tokio has no dumps on this platform.
pub fn dump(runtime: &Handle, limit: Duration) -> Result<Dump, DumpError> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if !capture::IS_SUPPORTED {
        return Err(DumpError::Unsupported);
    }
    let _one = match ONE_AT_A_TIME.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Err(DumpError::Busy),
    };
    let deadline = Instant::now() + limit;
    let live = tasks::live();
    let (answers, answered) = mpsc::channel();
    for task in &live {
        task.ask(Asked::new(task.id(), answers.clone()));
    }
    // From here on only tasks can answer, and when none is left that could, all is said.
    drop(answers);
    let mut traces = HashMap::new();
    let mut running = HashMap::new();
    let complete = loop {
        match answered.recv_timeout(PATIENCE) {
            Ok((task, trace)) => _ = traces.insert(task, trace),
            Err(RecvTimeoutError::Disconnected) => break true,
            Err(RecvTimeoutError::Timeout) => {
                running = self::running();
                let is_known = |id: &u64| traces.contains_key(id) || running.contains_key(id);
                // Those that hold a worker may do so for long.
                if Instant::now() > deadline
                    || live.iter().map(|it| it.id()).all(|id| is_known(&id))
                {
                    break false;
                }
            }
        }
    };
    let ours = live.iter().filter(|task| task.runtime() == runtime.id()).count();
    let others = runtime.metrics().num_alive_tasks().saturating_sub(ours);
    let mut state = |task: &Arc<Task>| match (traces.get(&task.id()), running.remove(&task.id())) {
        (Some(trace), _) => State::Parked { stacks: stacks(trace) },
        (None, Some(running)) => running,
        (None, None) if complete => State::Ended,
        (None, None) => State::Scheduled,
    };
    let tasks = live.iter().map(|task| TaskDump::new(task, state(task))).collect();
    Ok(Dump { tasks, others })
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// Only one at a time.
    #[error("another dump is being made")]
    Busy,
    /// Tokio can tell where a task is parked on Linux only.
    #[error("tasks cannot be dumped on this platform: that takes Linux")]
    Unsupported,
}

impl TaskDump {
    fn new(task: &Task, state: State) -> Self {
        let operation = task.operation();
        let trace = operation.map(|operation| &operation.span).filter(|it| it.is_valid());
        Self {
            id: task.id(),
            name: task.name(),
            operation: operation.map(|operation| operation.name),
            trace_id: trace.map(SpanContext::trace_id).map(|id| id.to_string()),
            age: task.age().as_secs_f64(),
            state,
        }
    }
}

/// The tasks that hold a worker.
fn running() -> HashMap<u64, State> {
    let of_worker = |worker: &Worker| {
        let CurrentPoll { since, task, place, .. } = worker.current()?;
        let state = State::Running {
            worker: worker.index(),
            seconds: since.elapsed().as_secs_f64(),
            field: place.map(|place| place.coordinate),
        };
        Some((task?.id(), state))
    };
    workers::all().iter().filter_map(of_worker).collect()
}

/// Where a trace waits, from the outermost function on.
fn stacks(trace: &Trace) -> Vec<Vec<Frame>> {
    let mut stacks = trace.stacks();
    for frames in &mut stacks {
        frames.retain(|frame| !symbols::is_plumbing(frame));
    }
    // A thousand books that wait for one batch say it once.
    stacks.sort_by_cached_key(|frames| format!("{frames:?}"));
    stacks.dedup();
    // What limits the time of another wait tells nothing beside it.
    if !stacks.iter().all(|frames| is_limit(frames)) {
        stacks.retain(|frames| !is_limit(frames));
    }
    stacks
}

fn is_limit(frames: &[Frame]) -> bool {
    frames.iter().any(|frame| frame.function == "poll_delay")
}
