//! A runtime for the exporters alone, on a thread of its own: they go on when the service's
//! workers are blocked, and nothing that this thread does makes telemetry.

use std::{io, thread};

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
    /// If the operating system refuses.
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("telemetry".to_owned()).spawn(move || {
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            // Ends when told to, or when nobody is left who could tell.
            let _ = runtime.block_on(stopped);
            // A look-up of the collector's name may hang.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop, thread })
    }

    /// For tasks of exporters.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends the thread; exports under way are broken off.
    pub fn stop(self) {
        let _ = self.stop.send(());
        // It has nothing to panic with, and if it did, that was told.
        let _ = self.thread.join();
    }
}
