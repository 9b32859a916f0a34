//! A dump of all live tasks: what each is called, works for, and where it is parked.
//!
//! Each task captures its own trace when it is polled next, so that a task that holds a worker
//! keeps only itself from being seen; tokio's own `Handle::dump` would wait for every worker.

use std::{
    cell::Cell,
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, TryLockError,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    task::Poll,
    time::{Duration, Instant},
};

use opentelemetry::trace::SpanContext;
use serde::Serialize;
use tokio::{
    runtime::{
        Handle,
        dump::{BacktraceFrame, BacktraceSymbol, Trace},
    },
    task::yield_now,
};

use super::{
    tasks::{self, Task},
    workers::{self, CurrentPoll, Worker},
};

/// How long to wait for a further answer before looking which tasks cannot give one.
const PATIENCE: Duration = Duration::from_millis(100);

/// A question to a task.
#[derive(Debug)]
pub struct Asked {
    task: u64,
    answers: Sender<(u64, Trace)>,
}

impl Asked {
    /// Answers it.
    pub fn answer(self, trace: Trace) {
        // Nobody listens any more after the deadline.
        let _ = self.answers.send((self.task, trace));
    }
}

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

/// A function on the way to where a task is parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// Its name.
    pub function: String,
    /// File and line.
    pub place: Option<String>,
}

impl Frame {
    /// Whether the function is the service's own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        match &self.place {
            Some(place) => place.starts_with("src/"),
            None => own_path(&self.function).starts_with("colophon::"),
        }
    }
}

/// Dumps the tasks of the service, whose runtime is `runtime`. Blocks, for `limit` at most and the
/// time it takes to find the names of functions, a second or so the first time.
///
/// # Errors
/// If another dump is under way.
pub fn dump(runtime: &Handle, limit: Duration) -> Result<Dump, Busy> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = match ONE_AT_A_TIME.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Err(Busy),
    };
    let deadline = Instant::now() + limit;
    let live = tasks::live();
    let (answers, answered) = mpsc::channel();
    for task in &live {
        task.ask(Asked { task: task.id(), answers: answers.clone() });
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

/// Only one dump at a time.
#[derive(Debug, thiserror::Error)]
#[error("another dump is being made")]
pub struct Busy;

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
    let mut stacks: Vec<_> = trace
        .resolve_backtraces()
        .iter()
        .map(|backtrace| {
            let symbols = backtrace.frames().flat_map(BacktraceFrame::symbols);
            let mut frames: Vec<_> = symbols.map(frame).collect();
            frames.reverse();
            frames.retain(|frame| !is_plumbing(frame));
            frames
        })
        .collect();
    // A thousand books that wait for one batch say it once.
    stacks.sort_by_cached_key(|frames| format!("{frames:?}"));
    stacks.dedup();
    // What limits the time of another wait tells nothing beside it.
    if !stacks.iter().all(|frames| is_limit(frames)) {
        stacks.retain(|frames| !is_limit(frames));
    }
    stacks
}

fn frame(symbol: &BacktraceSymbol) -> Frame {
    let function = symbol.name_demangled().unwrap_or("(unknown)");
    let place = symbol.filename().map(|file| {
        let file = short(&file.to_string_lossy()).to_owned();
        symbol.lineno().map_or(file.clone(), |line| format!("{file}:{line}"))
    });
    Frame { function: without_hash(function).to_owned(), place }
}

/// A symbol without the hash that ends it.
#[must_use]
pub fn without_hash(symbol: &str) -> &str {
    match symbol.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 => name,
        _ => symbol,
    }
}

/// A source file as one knows it: below the repository, or with its crate's name.
#[must_use]
pub fn short(path: &str) -> &str {
    if let Some(own) = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/")) {
        return own;
    }
    let after = |marker: &str| path.find(marker).map(|at| &path[at + marker.len()..]);
    if let Some((_, of_crate)) = after("/registry/src/").and_then(|path| path.split_once('/')) {
        return of_crate;
    }
    after("/library/").unwrap_or(path)
}

fn is_limit(frames: &[Frame]) -> bool {
    frames.iter().any(|frame| frame.function == "poll_delay")
}

/// Whether a frame is around the work of every task, and says nothing about this one. By its file
/// or, where the program has no line tables, by the path of its function.
fn is_plumbing(frame: &Frame) -> bool {
    match &frame.place {
        Some(place) => is_plumbing_file(place) || frame.function == "__rust_try",
        None => is_plumbing_path(&frame.function),
    }
}

/// See [`is_plumbing`].
fn is_plumbing_path(function: &str) -> bool {
    const PLUMBING: [&str; 11] = [
        "__rust",
        "(unknown)",
        "alloc::",
        "clone3",
        "colophon::telemetry::runtime::",
        "core::",
        "dial9",
        "start_thread",
        "std::",
        "tokio::runtime::",
        "tokio::task::yield_now",
    ];
    let path = own_path(function);
    PLUMBING.iter().any(|part| path.starts_with(part))
}

/// The path of the type or function that a symbol is of: `<a::B as c::D>::e` is of `a::B`.
#[must_use]
pub fn own_path(symbol: &str) -> &str {
    symbol.trim_start_matches(['<', '&', '*', '(', '['])
}

/// See [`is_plumbing`].
fn is_plumbing_file(place: &str) -> bool {
    const PLUMBING: [&str; 8] = [
        "alloc/src/",
        "core/src/",
        "dial9-tokio-telemetry",
        "src/telemetry/runtime/",
        "std/src/",
        "/src/runtime/dump.rs",
        "/src/runtime/task/trace/",
        "/src/task/yield_now.rs",
    ];
    PLUMBING.iter().any(|part| {
        if part.starts_with('/') { place.contains(part) } else { place.starts_with(part) }
    })
}

/// Does `work`, and has a dump see it as a place to be parked at. For what waits for something
/// that is not tokio's, such as SQLite's threads, which a dump would not notice.
pub async fn parkable<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|context| {
        if CAPTURING.get() {
            // Tokio takes the trace of it, has it pending, and polls the task again.
            let mut marker = pin!(yield_now());
            if marker.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        work.as_mut().poll(context)
    })
    .await
}

thread_local! {
    /// Whether the poll on this thread is for a dump.
    static CAPTURING: Cell<bool> = const { Cell::new(false) };
}

/// Captures the trace of what `poll` does.
pub(super) fn capture<R>(poll: impl FnOnce() -> R) -> (R, Trace) {
    /// Also when the poll panics.
    struct Over;
    impl Drop for Over {
        fn drop(&mut self) {
            CAPTURING.set(false);
        }
    }
    CAPTURING.set(true);
    let _over = Over;
    Trace::capture(poll)
}
