//! What a program learns of its own tasks and polls.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use opentelemetry::trace::SpanContext;
use runtime_insight::{
    Builder, Operation, Section, Task, in_section, live, spawn, spawn_operation,
    watchdog::{self, SlowPoll},
};
use tokio::{runtime::Runtime, sync::Notify};

const LIMIT: Duration = Duration::from_secs(20);

/// What was reported of a slow poll: task, group, section, whether it had ended.
type Reported = (Option<&'static str>, Option<&'static str>, Option<&'static str>, bool);

static REPORTS: Mutex<Vec<Reported>> = Mutex::new(Vec::new());

fn report(slow: &SlowPoll<'_>) {
    let task = slow.task().map(Task::name);
    let group = slow.operation().map(|operation| operation.group);
    let section = slow.section().map(|section| section.name);
    REPORTS.lock().expect("no test panics with it").push((task, group, section, slow.ended()));
}

fn runtime() -> Runtime {
    Builder::new()
        .slow_poll(Duration::from_millis(30))
        .on_slow_poll(report)
        .source_root(env!("CARGO_MANIFEST_DIR"))
        .configure(|tokio| _ = tokio.worker_threads(2))
        .build()
        .expect("the system has threads")
}

/// Spawns on `runtime`.
fn on<T>(runtime: &Runtime, spawn: impl FnOnce() -> T) -> T {
    let _entered = runtime.enter();
    spawn()
}

/// Waits until the slow polls of `task` were reported, and returns them.
fn reports(task: &str) -> Vec<Reported> {
    let started = Instant::now();
    loop {
        let all = REPORTS.lock().expect("no test panics with it");
        let of_task: Vec<_> = all.iter().filter(|it| it.0 == Some(task)).copied().collect();
        drop(all);
        if !of_task.is_empty() {
            return of_task;
        }
        assert!(started.elapsed() < LIMIT, "no slow poll of {task} was reported");
        thread::sleep(Duration::from_millis(5));
    }
}

fn operation(name: &'static str) -> Operation {
    Operation { name, group: "/reports", span: SpanContext::NONE }
}

fn section(name: &'static str) -> Arc<Section> {
    Arc::new(Section { name, span: SpanContext::NONE })
}

#[test]
fn reports_a_slow_poll_while_it_lasts() {
    let runtime = runtime();
    let (release, released) = mpsc::channel::<()>();
    let work = in_section(section("parse"), async move { released.recv() });
    let task = on(&runtime, || spawn_operation(operation("blocks for long"), work));
    let expected = (Some("blocks for long"), Some("/reports"), Some("parse"), false);
    assert_eq!(reports("blocks for long"), [expected]);
    release.send(()).unwrap();
    runtime.block_on(task).unwrap().unwrap();
    // Only once, though it has ended now.
    assert_eq!(reports("blocks for long").len(), 1);
}

#[test]
fn names_the_section_in_which_a_poll_became_slow() {
    let runtime = runtime();
    // Blocks on purpose: for longer than a slow poll, and too short for the watchdog.
    let work = async {
        in_section(section("slow part"), async { thread::sleep(Duration::from_millis(32)) }).await;
        in_section(section("fast part"), async {}).await;
    };
    on(&runtime, || spawn("two parts", work));
    let [(_, group, section, _)] = reports("two parts")[..] else { panic!("one report") };
    assert_eq!((group, section), (None, Some("slow part")));
}

#[test]
fn tasks_work_for_the_operation_of_the_task_that_spawns_them() {
    let runtime = runtime();
    let (sender, receiver) = mpsc::channel();
    let work = async move {
        let inner = spawn("inherits", async {
            let task = runtime_insight::worker::current_task().unwrap();
            (task.name(), task.operation().map(|operation| operation.name))
        });
        sender.send(inner.await.unwrap()).unwrap();
    };
    runtime.block_on(async { spawn_operation(operation("parent"), work).await }).unwrap();
    assert_eq!(receiver.recv_timeout(LIMIT).unwrap(), ("inherits", Some("parent")));
}

#[test]
fn lists_tasks_until_they_end() {
    let runtime = runtime();
    let release = Arc::new(Notify::new());
    let released = release.clone();
    let task = on(&runtime, || spawn("is listed", async move { released.notified().await }));
    let is_listed = || live().iter().any(|task| task.name() == "is listed");
    assert!(is_listed());
    release.notify_one();
    runtime.block_on(task).unwrap();
    assert!(!is_listed());
    let aborted = on(&runtime, || spawn("is listed", std::future::pending::<()>()));
    assert!(is_listed());
    aborted.abort();
    assert!(runtime.block_on(aborted).unwrap_err().is_cancelled());
    assert!(!is_listed());
}

#[test]
fn reports_a_stall_when_every_worker_is_blocked() {
    let runtime = runtime();
    let block = || {
        let (release, released) = mpsc::channel::<()>();
        (release, on(&runtime, || spawn("stalls", async move { released.recv() })))
    };
    let limit = Duration::from_millis(50);
    let mut blocked = vec![block()];
    reports("stalls");
    // Other tests block workers of other runtimes: those count, too, so more than any have.
    let stalled = |workers| watchdog::stalled(workers, limit).is_some();
    assert!(!stalled(100));
    blocked.push(block());
    let started = Instant::now();
    while !stalled(2) {
        assert!(started.elapsed() < LIMIT, "two blocked workers are no stall");
        thread::sleep(Duration::from_millis(5));
    }
    for (release, task) in blocked {
        release.send(()).unwrap();
        runtime.block_on(task).unwrap().unwrap();
    }
}

#[cfg(all(target_os = "linux", tokio_unstable, feature = "dump"))]
mod dump {
    use runtime_insight::dump::{self, State};
    use tokio::runtime::Handle;

    use super::*;

    fn find(name: &str, handle: &Handle) -> dump::TaskDump {
        let started = Instant::now();
        let dump = loop {
            match dump::dump(handle, LIMIT) {
                Err(dump::DumpError::Busy) if started.elapsed() < LIMIT => {
                    thread::sleep(Duration::from_millis(5));
                }
                result => break result.expect("Linux has dumps"),
            }
        };
        dump.tasks.into_iter().find(|task| task.name == name).expect("it lives")
    }

    #[test]
    fn shows_where_a_task_is_parked() {
        let runtime = runtime();
        let release = Arc::new(Notify::new());
        let released = release.clone();
        let line = line!() + 2;
        let work = async move {
            released.notified().await;
        };
        let task = on(&runtime, || spawn("is parked", work));
        let State::Parked { stacks } = find("is parked", runtime.handle()).state else {
            panic!("it is parked")
        };
        let [stack] = &stacks[..] else { panic!("one place: {stacks:#?}") };
        let place = format!("tests/watch.rs:{line}");
        let is_there = |frame: &dump::Frame| frame.place.as_deref() == Some(place.as_str());
        assert!(stack.iter().any(is_there), "{place} is not in {stack:#?}");
        release.notify_one();
        runtime.block_on(task).unwrap();
    }

    #[test]
    fn shows_what_a_task_that_holds_its_worker_does() {
        let runtime = runtime();
        let (release, released) = mpsc::channel::<()>();
        let work = in_section(section("compute"), async move { released.recv() });
        let task = on(&runtime, || spawn("is running", work));
        reports("is running");
        let dump = find("is running", runtime.handle());
        let State::Running { section, .. } = dump.state else { panic!("{dump:?}") };
        assert_eq!(section, Some("compute"));
        release.send(()).unwrap();
        runtime.block_on(task).unwrap().unwrap();
    }
}
