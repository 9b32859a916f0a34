//! Where a task is parked: the trace of a poll that only looks. By tokio, which has this for Linux and
//! with `--cfg tokio_unstable` only; elsewhere nothing is captured.

use std::{cell::Cell, future::poll_fn, pin::pin, sync::mpsc::Sender, task::Poll};

use tokio::task::yield_now;

pub(crate) use self::platform::{IS_SUPPORTED, Trace};

/// A request for a trace of a task.
#[derive(Debug)]
pub(crate) struct TraceRequest {
    task: u64,
    replies: Sender<(u64, Trace)>,
}

impl TraceRequest {
    /// Has the task with this number reply to `replies`.
    pub(crate) const fn new(task: u64, replies: Sender<(u64, Trace)>) -> Self {
        Self { task, replies }
    }

    pub(crate) fn reply(self, trace: Trace) {
        // Nobody listens any more after the deadline.
        let _ = self.replies.send((self.task, trace));
    }
}

/// Does `work`, and has a dump see it as a place where a task is parked. For what waits for something
/// that is not tokio's, such as a thread of a library, which a dump does not notice.
pub async fn trace_point<F: Future>(work: F) -> F::Output {
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
pub(crate) fn capture<R>(poll: impl FnOnce() -> R) -> (R, Trace) {
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

#[cfg(all(target_os = "linux", tokio_unstable, feature = "dump"))]
mod platform {
    use tokio::runtime::dump::{self, BacktraceFrame, BacktraceSymbol};

    use crate::symbols::{Frame, short, without_hash};

    /// Whether there are traces on this platform.
    pub(crate) const IS_SUPPORTED: bool = true;

    /// Where a task waits.
    pub(crate) struct Trace(dump::Trace);

    impl Trace {
        /// Captures what `poll` does.
        pub fn capture<R>(poll: impl FnOnce() -> R) -> (R, Self) {
            let (result, trace) = dump::Trace::capture(poll);
            (result, Self(trace))
        }

        /// The places where it waits at the same time, each from the outermost function on.
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

#[cfg(not(all(target_os = "linux", tokio_unstable, feature = "dump")))]
mod platform {
    use crate::symbols::Frame;

    /// Whether there are traces on this platform.
    pub(crate) const IS_SUPPORTED: bool = false;

    /// Where a task waits.
    pub(crate) struct Trace;

    impl Trace {
        /// Does `poll`.
        pub fn capture<R>(poll: impl FnOnce() -> R) -> (R, Self) {
            (poll(), Self)
        }

        /// Nowhere that is known.
        pub fn stacks(&self) -> Vec<Vec<Frame>> {
            Vec::new()
        }
    }
}
