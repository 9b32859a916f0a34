//! Building a runtime that is watched.

use std::{io, time::Duration};

use tokio::runtime::{self, Runtime};

use crate::{
    symbols,
    watchdog::{self, Report},
    worker,
};

/// Builds a multi-threaded tokio runtime whose tasks and polls are watched.
///
/// The slow-poll duration, the report and the source root are the process's: the last runtime, and the
/// first two that are set, count. Without `--cfg tokio_unstable`, only the tasks of this crate are
/// watched, and not those of libraries.
///
/// ```
/// # use std::time::Duration;
/// let runtime = runtime_insight::Builder::new().slow_poll(Duration::from_millis(20)).build()?;
/// runtime.block_on(async { runtime_insight::spawn("answer", async { 42 }).await })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Builder {
    tokio: runtime::Builder,
    slow_poll: Duration,
    report: Report,
    #[cfg(feature = "flight-recorder")]
    recorder: Option<crate::recorder::FlightRecorder>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A runtime with all drivers of tokio, whose polls are slow from 10 ms on and then logged.
    #[must_use]
    pub fn new() -> Self {
        let mut tokio = runtime::Builder::new_multi_thread();
        tokio.enable_all().thread_name("worker");
        Self {
            tokio,
            slow_poll: worker::slow_poll(),
            report: watchdog::log,
            #[cfg(feature = "flight-recorder")]
            recorder: None,
        }
    }

    /// Changes tokio's own settings, such as the number of workers. Not the hooks of polls and threads,
    /// which this crate sets.
    #[must_use]
    pub fn configure(mut self, configure: impl FnOnce(&mut runtime::Builder)) -> Self {
        configure(&mut self.tokio);
        self
    }

    /// Sets the duration from which on a poll is slow.
    #[must_use]
    pub const fn slow_poll(mut self, limit: Duration) -> Self {
        self.slow_poll = limit;
        self
    }

    /// Has `report` receive slow polls, in place of [`watchdog::log`].
    #[must_use]
    pub const fn on_slow_poll(mut self, report: Report) -> Self {
        self.report = report;
        self
    }

    /// Names source files below `folder`, such as `env!("CARGO_MANIFEST_DIR")`, without it in dumps and
    /// profiles.
    #[must_use]
    pub fn source_root(self, folder: &'static str) -> Self {
        symbols::set_source_root(folder);
        self
    }

    /// Has `recorder` record the runtime.
    #[cfg(feature = "flight-recorder")]
    #[must_use]
    pub fn recorder(mut self, recorder: &crate::recorder::FlightRecorder) -> Self {
        self.recorder = Some(recorder.clone());
        self
    }

    /// Builds the runtime, and starts the watchdog.
    ///
    /// # Errors
    /// If the operating system rejects threads or sockets.
    pub fn build(self) -> io::Result<Runtime> {
        worker::watch(self.slow_poll);
        watchdog::start(self.report)?;
        #[cfg_attr(
            not(any(all(tokio_unstable, feature = "metrics"), feature = "cpu-profile")),
            expect(unused_mut, reason = "only those change it")
        )]
        let mut tokio = self.tokio;
        #[cfg(all(tokio_unstable, feature = "metrics"))]
        crate::metrics::enable_histograms(&mut tokio);
        #[cfg(feature = "flight-recorder")]
        if let Some(recorder) = &self.recorder {
            return recorder.attach(tokio);
        }
        // Where the kernel allows no perf events, each thread has a timer of its own.
        #[cfg(feature = "cpu-profile")]
        tokio
            .on_thread_start(|| _ = dial9_perf_self_profile::register_current_thread())
            .on_thread_stop(dial9_perf_self_profile::unregister_current_thread);
        build(tokio)
    }
}

#[cfg(tokio_unstable)]
fn build(mut tokio: runtime::Builder) -> io::Result<Runtime> {
    use crate::hooks;
    tokio
        .on_before_task_poll(|task| hooks::before_poll(Some(task.spawned_at())))
        .on_after_task_poll(|_| hooks::after_poll())
        .build()
}

#[cfg(not(tokio_unstable))]
fn build(mut tokio: runtime::Builder) -> io::Result<Runtime> {
    tokio.build()
}
