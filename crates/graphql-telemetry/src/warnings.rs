//! One line a minute at most about telemetry that does not arrive, however much of it there is.

use runtime_insight::RateLimiter;
use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use opentelemetry::Context;
use otlp_export::Report;
use tracing::{info, warn};

/// Tells of the loss of telemetry, on the log lines and not in the telemetry itself.
#[derive(Debug)]
pub struct Warnings {
    lines: RateLimiter,
    /// Whether a warning was logged, and not yet the end of what it was about.
    is_failing: AtomicBool,
}

impl Default for Warnings {
    fn default() -> Self {
        Self { lines: RateLimiter::once_a_minute(), is_failing: AtomicBool::new(false) }
    }
}

impl Report for Warnings {
    fn failed(&self, error: &dyn fmt::Display) {
        self.warn(|| {
            warn!(
                name: "telemetry.export_failed",
                { exception.message = %error },
                "telemetry does not reach the collector; further failures are counted in \
                 otel.sdk.exporter.*"
            );
        });
    }

    fn dropped(&self) {
        self.warn(|| {
            warn!(
                name: "telemetry.dropped",
                "telemetry is made faster than it can be exported; drops are counted in \
                 otel.sdk.processor.*"
            );
        });
    }

    fn restarted(&self) {
        self.warn(|| {
            warn!(name: "telemetry.exporter_restarted", "exporter panicked; restarting it");
        });
    }

    fn recovered(&self) {
        // Read first: it is called for each export.
        if self.is_failing.load(Ordering::Relaxed) && self.is_failing.swap(false, Ordering::Relaxed)
        {
            info!(name: "telemetry.export_resumed", "telemetry reaches the collector again");
        }
    }
}

impl Warnings {
    fn warn(&self, warning: impl FnOnce()) {
        if self.lines.admit().is_some() {
            self.is_failing.store(true, Ordering::Relaxed);
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            warning();
        }
    }
}
