//! What the service tells of itself, as it arrives at a real OpenTelemetry Collector.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod delivery;
mod errors;
mod metrics;
mod secrecy;
mod sql;
mod traces;

use support::{Db, Service, collector::Collector};

/// What a service needs to tell everything to a collector at `endpoint` without delay.
fn prompt(endpoint: &str) -> Vec<(&str, &str)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "50"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "300"),
    ]
}

/// A service that tells a collector everything without delay.
async fn observed(db: &Db, collector: &Collector) -> Service {
    db.serve_in(&prompt(&collector.http)).await
}
