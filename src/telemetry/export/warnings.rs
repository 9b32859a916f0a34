//! One line a minute at most about telemetry that does not arrive, however much of it there is.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::Context;
use tracing::{info, warn};

/// How long to keep silent after a warning.
const SILENCE: Duration = Duration::from_mins(1);

/// Tells of the loss of telemetry, on the log lines and not in the telemetry itself.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    warned: Option<Instant>,
    /// A warning was told, and not yet that it is over.
    told: bool,
}

impl Warnings {
    /// An export failed.
    pub fn failed(&self, error: &dyn fmt::Display) {
        self.warn(|| {
            warn!(
                name: "telemetry.export_failed",
                error = %error,
                "telemetry does not reach the collector; further failures are counted in \
                 otel.sdk.exporter.*"
            );
        });
    }

    /// Items were dropped, since a queue was full.
    pub fn dropped(&self) {
        self.warn(|| {
            warn!(
                name: "telemetry.dropped",
                "telemetry is made faster than it can be exported; drops are counted in \
                 otel.sdk.processor.*"
            );
        });
    }

    /// An export succeeded.
    pub fn worked(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.told) {
            drop(state);
            info!(name: "telemetry.export_resumed", "telemetry reaches the collector again");
        }
    }

    fn warn(&self, warning: impl FnOnce()) {
        let is_due = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = state.warned.is_none_or(|last| last.elapsed() >= SILENCE);
            if is_due {
                state.warned = Some(Instant::now());
                state.told = true;
            }
            is_due
        };
        if is_due {
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            warning();
        }
    }
}
