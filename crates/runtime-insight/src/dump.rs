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

use crate::{
    capture::{self, Trace, TraceRequest},
    symbols,
    task::{self, Task},
    worker::{self, CurrentPoll},
};

pub use crate::symbols::Frame;

/// How long to wait for a further reply before looking which tasks cannot give one.
const REPLY_TIMEOUT: Duration = Duration::from_millis(100);

/// The live tasks at one moment.
#[derive(Debug, Serialize)]
pub struct Dump {
    /// The tasks that were spawned by this crate, oldest first.
    pub tasks: Vec<TaskDump>,
    /// The number of further tasks of the runtime, such as those of libraries.
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
    /// It is in a poll that began before the dump.
    Running {
        /// The worker that polls it.
        worker: usize,
        /// For how long, in seconds.
        seconds: f64,
        /// The section of work that it is in.
        #[serde(rename = "field")]
        section: Option<&'static str>,
    },
    /// It has work to do, and no worker came to it in time.
    Scheduled,
    /// It ended while the dump was made.
    Ended,
}

/// Dumps the live tasks; `runtime` is the one whose other tasks are counted. Blocks for `limit` at most,
/// and for as long as it takes to find the names of functions: a second or so the first time. So call
/// it by [`spawn_blocking`](tokio::task::spawn_blocking) or from another thread.
///
/// # Errors
/// [`DumpError::Busy`] while another dump is made, and [`DumpError::Unsupported`] elsewhere than on
/// Linux or without `--cfg tokio_unstable`.
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
    let live = task::live();
    let (replies, receiver) = mpsc::channel();
    for task in &live {
        task.request_trace(TraceRequest::new(task.id(), replies.clone()));
    }
    // From here on only tasks have senders: the channel closes with the last task that could reply.
    drop(replies);
    let mut traces = HashMap::new();
    let mut running = loop {
        let silence = match receiver.recv_timeout(REPLY_TIMEOUT) {
            Ok((task, trace)) => {
                traces.insert(task, trace);
                continue;
            }
            Err(silence) => silence,
        };
        // Those that block a worker may do so for long.
        let running = running();
        let is_outstanding = |task: &Arc<Task>| {
            !traces.contains_key(&task.id()) && !running.contains_key(&task.id()) && task.is_live()
        };
        let is_over = silence == RecvTimeoutError::Disconnected || Instant::now() > deadline;
        if is_over || !live.iter().any(is_outstanding) {
            break running;
        }
    };
    let own = live.iter().filter(|task| task.runtime() == runtime.id()).count();
    let others = runtime.metrics().num_alive_tasks().saturating_sub(own);
    let mut state = |task: &Arc<Task>| match (traces.get(&task.id()), running.remove(&task.id())) {
        (Some(trace), _) => State::Parked { stacks: stacks(trace) },
        (None, Some(running)) => running,
        (None, None) if task.is_live() => State::Scheduled,
        (None, None) => State::Ended,
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
    /// Tokio traces tasks on Linux and with `--cfg tokio_unstable` only.
    #[error("tasks cannot be dumped on this platform: that takes Linux and --cfg tokio_unstable")]
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

/// The tasks that are being polled.
fn running() -> HashMap<u64, State> {
    let of_poll = |poll: CurrentPoll| {
        let CurrentPoll { worker, since, task, section, .. } = poll;
        let seconds = since.elapsed().as_secs_f64();
        let section = section.map(|section| section.name);
        Some((task?.id(), State::Running { worker, seconds, section }))
    };
    let polls = worker::all().into_iter().filter_map(|worker| worker.current());
    polls.filter_map(of_poll).collect()
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
    // A time limit around another wait adds nothing to it.
    if !stacks.iter().all(|frames| is_limit(frames)) {
        stacks.retain(|frames| !is_limit(frames));
    }
    stacks
}

fn is_limit(frames: &[Frame]) -> bool {
    frames.iter().any(|frame| frame.function == "poll_delay")
}
