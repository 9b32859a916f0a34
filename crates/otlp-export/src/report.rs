//! What is said of telemetry that does not arrive.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use opentelemetry::Context;
use tracing::{info, warn};

/// Receives what happens to the export of a signal, on the thread of the exporters or on the one that
/// makes an item. It must not block, nor make telemetry.
pub trait Report: Send + Sync + 'static {
    /// An export failed, or the collector rejected a part of it.
    fn failed(&self, error: &dyn fmt::Display);
    /// An item was dropped, since the queue is full or the item too large.
    fn dropped(&self);
    /// An exporter panicked, and is restarted.
    fn restarted(&self);
    /// An export succeeded.
    fn recovered(&self);
}

/// Logs when exports begin to fail and when they succeed again, and the first drop.
#[derive(Debug, Default)]
pub struct LogReport {
    is_failing: AtomicBool,
    has_dropped: AtomicBool,
}

impl LogReport {
    /// One for all signals.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }
}

impl Report for LogReport {
    fn failed(&self, error: &dyn fmt::Display) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            warn!(
                name: "telemetry.export_failed",
                { exception.message = %error },
                "telemetry export failed; further failures are counted"
            );
        }
    }

    fn dropped(&self) {
        if !self.has_dropped.swap(true, Ordering::Relaxed) {
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            warn!(name: "telemetry.dropped", "telemetry dropped; further drops are counted");
        }
    }

    fn restarted(&self) {
        let _suppressed = Context::enter_telemetry_suppressed_scope();
        warn!(name: "telemetry.exporter_restarted", "telemetry exporter panicked; restarting it");
    }

    fn recovered(&self) {
        // Read first: it is called for each export.
        if self.is_failing.load(Ordering::Relaxed) && self.is_failing.swap(false, Ordering::Relaxed)
        {
            info!(name: "telemetry.export_resumed", "telemetry export resumed");
        }
    }
}
