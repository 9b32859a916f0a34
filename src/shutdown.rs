//! The signals that end the service.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the service.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on: a signal that comes before anybody waits is not lost.
    ///
    /// # Errors
    /// If the operating system returns an error.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for SIGTERM or SIGINT and returns which.
    pub async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for a further SIGINT: a second Ctrl-C ends the drain. A
    /// further SIGTERM means nothing, since supervisors are known to send several.
    pub async fn hurry(&mut self) {
        self.interrupt.recv().await;
    }
}
