//! The asynchronous runtime: how it is built so that it can be looked into, and what is seen there.
//!
//! - [`profile`]: where the time of each operation's task went;
//! - [`workers`] and [`watchdog`]: polls that hold a worker for too long, while they do;
//! - [`tasks`], [`capture`] and [`dump`]: the tasks by name, and where each is parked;
//! - [`sampler`]: the runtime's own figures;
//! - [`recorder`]: everything that happened in a stretch of time;
//! - [`cpu`]: which code the processors spent their time on.

pub mod capture;
pub mod cpu;
pub mod dump;
pub mod profile;
pub mod recorder;
pub mod sampler;
pub mod symbols;
pub mod tasks;
pub mod watchdog;
pub mod workers;

use std::{io, time::Duration};

use dial9::{Dial9HandleTokioExt, Recorder, TokioAttachOptions, TokioHooks};
use tokio::runtime::{Builder, Runtime};

/// Builds the runtime that the service runs in, with the watchdog beside it. `recorder` is told
/// of all that happens in it while it records. A poll over `slow_poll` is slow; if there is none,
/// neither tasks nor polls are measured.
///
/// # Errors
/// If the operating system refuses threads or sockets.
pub fn build(recorder: &Recorder, slow_poll: Option<Duration>) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_name("worker");
    let Some(slow_poll) = slow_poll else { return builder.build() };
    let mut hooks = TokioHooks::default();
    hooks.on_thread_start(workers::thread_starts);
    hooks.on_before_task_poll(|task| workers::poll_begins(task.spawned_at()));
    hooks.on_after_task_poll(|_| workers::poll_ended());
    sampler::enable_histograms(&mut builder);
    let options = TokioAttachOptions::builder()
        .runtime_name("service")
        .task_tracking_enabled(true)
        .tokio_hooks(hooks)
        .build();
    workers::set_slow_poll(slow_poll);
    let runtime = recorder.handle().attach_tokio_runtime(builder, options)?;
    workers::install(runtime.metrics().num_workers());
    watchdog::start()?;
    Ok(runtime)
}
