//! What became of what was queued.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Label};
use opentelemetry_semantic_conventions::attribute::ERROR_TYPE;

use crate::telemetry::names::Metric;

/// What became of the items of a signal, since the start.
#[derive(Debug, Default)]
pub struct Outcome {
    made: AtomicU64,
    exported: AtomicU64,
}

impl Outcome {
    /// Items that the receiver took.
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Items that no receiver has taken. At the end, those are lost.
    pub fn outstanding(&self) -> u64 {
        self.made.load(Ordering::Relaxed).saturating_sub(self.exported())
    }

    /// Counts items that were made.
    pub fn count_made(&self, items: u64) {
        self.made.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts items that the receiver took.
    pub fn count_exported(&self, items: u64) {
        self.exported.fetch_add(items, Ordering::Relaxed);
    }
}

/// The metrics that the queue keeps.
pub struct Counters {
    pub processed: Counter,
    pub queue_full: Counter,
    pub too_large: Counter,
    pub after_shutdown: Counter,
    pub exported: Counter,
    pub failed: Counter,
    pub rejected: Counter,
}

impl Counters {
    /// Of a queue's two metrics. All begin at zero, so that a first loss is a rise.
    pub fn new(processed: &Metric, exported: &Metric) -> Self {
        let with = |metric: &Metric, error| metric.counter(vec![Label::new(ERROR_TYPE, error)]);
        Self {
            processed: processed.counter(Vec::new()),
            queue_full: with(processed, "queue_full"),
            too_large: with(processed, "too_large"),
            after_shutdown: with(processed, "already_shutdown"),
            exported: exported.counter(Vec::new()),
            failed: with(exported, "export_failed"),
            rejected: with(exported, "rejected"),
        }
    }
}
