//! What the hot parts cost with all telemetry on: traces and metrics go to a collector that throws them
//! away, as fast as it gets them, and metrics to the scrape too. `unobserved` is the same without.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

#[path = "costs/collector.rs"]
mod collector;
#[path = "costs/documents.rs"]
mod documents;
#[path = "costs/metrics.rs"]
mod metrics;
#[path = "costs/operation.rs"]
mod operation;
#[path = "costs/statement.rs"]
mod statement;
#[path = "costs/support.rs"]
mod support;

use std::time::Duration;

/// As in the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let telemetry = collector::observe();
    divan::main();
    telemetry.shutdown(Duration::from_secs(1));
}
