//! What became of what was queued.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, counter};
use opentelemetry_semantic_conventions::{
    attribute::ERROR_TYPE,
    metric::{
        OTEL_SDK_EXPORTER_LOG_EXPORTED, OTEL_SDK_EXPORTER_SPAN_EXPORTED,
        OTEL_SDK_PROCESSOR_LOG_PROCESSED, OTEL_SDK_PROCESSOR_SPAN_PROCESSED,
    },
};

/// What became of the items of a signal, since the start.
#[derive(Debug, Default)]
pub struct ExportStats {
    produced: AtomicU64,
    exported: AtomicU64,
    lost: AtomicU64,
}

impl ExportStats {
    /// Items that were produced, whatever became of them.
    #[must_use]
    pub fn produced(&self) -> u64 {
        self.produced.load(Ordering::Relaxed)
    }

    /// Items that the receiver took.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Items that are lost: dropped before they were sent, or not taken by the receiver.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Items that are neither exported nor lost: queued, or being sent.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.outstanding().saturating_sub(self.lost())
    }

    /// Items that no receiver has taken. At the end, those are lost.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.produced().saturating_sub(self.exported())
    }

    /// Counts items that were produced.
    pub fn count_produced(&self, items: u64) {
        self.produced.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts items that the receiver took.
    pub fn count_exported(&self, items: u64) {
        self.exported.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts items that no receiver will get.
    pub fn count_lost(&self, items: u64) {
        self.lost.fetch_add(items, Ordering::Relaxed);
    }
}

/// The metrics of a queue, by the facade `metrics` and OpenTelemetry's names. All begin at zero, so that
/// a first loss is a rise.
pub struct Counters {
    pub(crate) processed: Counter,
    pub(crate) queue_full: Counter,
    pub(crate) too_large: Counter,
    pub(crate) after_shutdown: Counter,
    pub(crate) exported: Counter,
    pub(crate) failed: Counter,
    pub(crate) rejected: Counter,
}

impl Counters {
    /// `otel.sdk.processor.span.processed` and `otel.sdk.exporter.span.exported`.
    #[must_use]
    pub fn spans() -> Self {
        Self::new(OTEL_SDK_PROCESSOR_SPAN_PROCESSED, OTEL_SDK_EXPORTER_SPAN_EXPORTED)
    }

    /// `otel.sdk.processor.log.processed` and `otel.sdk.exporter.log.exported`.
    #[must_use]
    pub fn log_records() -> Self {
        Self::new(OTEL_SDK_PROCESSOR_LOG_PROCESSED, OTEL_SDK_EXPORTER_LOG_EXPORTED)
    }

    fn new(processed: &'static str, exported: &'static str) -> Self {
        let with = |name: &'static str, error: &'static str| counter!(name, ERROR_TYPE => error);
        Self {
            processed: counter!(processed),
            queue_full: with(processed, "queue_full"),
            too_large: with(processed, "too_large"),
            after_shutdown: with(processed, "already_shutdown"),
            exported: counter!(exported),
            failed: with(exported, "export_failed"),
            rejected: with(exported, "rejected"),
        }
    }
}
