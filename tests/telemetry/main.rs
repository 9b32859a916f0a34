//! What the service tells of itself, as it arrives at a real OpenTelemetry Collector.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod delivery;
mod errors;
mod metrics;
mod secrecy;
mod sql;
mod traces;
