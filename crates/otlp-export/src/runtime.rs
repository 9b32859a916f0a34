//! A runtime for the exporters alone, on a thread of its own: they continue when the program's workers
//! are blocked, and nothing on this thread makes telemetry.

use std::{io, pin::Pin, task, thread};

use opentelemetry::Context;
use tokio::{runtime::Handle, sync::oneshot};

/// The exporters' runtime.
#[derive(Debug)]
pub struct ExportRuntime {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl ExportRuntime {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the operating system returns an error.
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("telemetry".to_owned()).spawn(move || {
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            // Ends at `stop`, or when the sender is dropped.
            let _ = runtime.block_on(stopped);
            // Not shut down: what the reader of metrics still polls would panic, and a look-up of the
            // collector's name may hang. Without this thread nothing of it goes on.
            std::mem::forget(runtime);
        })?;
        Ok(Self { handle, stop, thread })
    }

    /// For tasks of exporters.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends the thread, and exports in progress with it.
    pub fn stop(self) {
        let _ = self.stop.send(());
        // A panic of it was reported by the hook.
        let _ = self.thread.join();
    }
}

/// A future that is polled somewhere else but finds its timers and sockets in the exporters'
/// runtime.
pub struct OnRuntime<F> {
    handle: Handle,
    future: Pin<Box<F>>,
}

impl<F: Future> OnRuntime<F> {
    /// Runs `future` with the resources of `handle`.
    pub fn new(handle: Handle, future: F) -> Self {
        Self { handle, future: Box::pin(future) }
    }
}

impl<F: Future> Future for OnRuntime<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> task::Poll<F::Output> {
        let this = &mut *self;
        let _entered = this.handle.enter();
        this.future.as_mut().poll(context)
    }
}
