//! Where a task is parked: the trace of a poll that only looks. By tokio, which has this for Linux only;
//! elsewhere nothing is captured.

use std::{cell::Cell, future::poll_fn, pin::pin, sync::mpsc::Sender, task::Poll};

use tokio::task::yield_now;

pub use self::platform::{IS_SUPPORTED, Trace};

/// A question to a task.
#[derive(Debug)]
pub struct Asked {
    task: u64,
    answers: Sender<(u64, Trace)>,
}

impl Asked {
    /// Has the task with this number answer to `answers`.
    #[must_use]
    pub fn new(task: u64, answers: Sender<(u64, Trace)>) -> Self {
        Self { task, answers }
    }

    /// Answers it.
    pub fn answer(self, trace: Trace) {
        // Nobody listens any more after the deadline.
        let _ = self.answers.send((self.task, trace));
    }
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

#[cfg(target_os = "linux")]
mod platform {
    use tokio::runtime::dump::{self, BacktraceFrame, BacktraceSymbol};

    use crate::telemetry::runtime::symbols::{Frame, short, without_hash};

    /// Whether there are traces on this platform.
    pub const IS_SUPPORTED: bool = true;

    /// Where a task waits.
    pub struct Trace(dump::Trace);

    impl Trace {
        /// Captures what `poll` does.
        pub fn capture<R>(poll: impl FnOnce() -> R) -> (R, Self) {
            let (result, trace) = dump::Trace::capture(poll);
            (result, Self(trace))
        }

        /// The places where it waits at the same time, each from the outermost function on.
        #[must_use]
        pub fn stacks(&self) -> Vec<Vec<Frame>> {
            let frames = |backtrace: &dump::Backtrace| {
                let symbols = backtrace.frames().flat_map(BacktraceFrame::symbols);
                let mut frames: Vec<_> = symbols.map(frame).collect();
                frames.reverse();
                frames
            };
            self.0.resolve_backtraces().iter().map(frames).collect()
        }
    }

    fn frame(symbol: &BacktraceSymbol) -> Frame {
        let function = symbol.name_demangled().unwrap_or("(unknown)");
        let place = symbol.filename().map(|file| {
            let file = short(&file.to_string_lossy()).to_owned();
            symbol.lineno().map_or(file.clone(), |line| format!("{file}:{line}"))
        });
        Frame { function: without_hash(function).to_owned(), place }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use crate::telemetry::runtime::symbols::Frame;

    /// Whether there are traces on this platform.
    pub const IS_SUPPORTED: bool = false;

    /// Where a task waits.
    pub struct Trace;

    impl Trace {
        /// Does `poll`.
        pub fn capture<R>(poll: impl FnOnce() -> R) -> (R, Self) {
            (poll(), Self)
        }

        /// Nowhere that is known.
        #[must_use]
        pub fn stacks(&self) -> Vec<Vec<Frame>> {
            Vec::new()
        }
    }
}
