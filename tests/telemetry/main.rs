//! What the service tells of itself, as it arrives at a real OpenTelemetry Collector.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod background;
mod clock;
mod delivery;
mod errors;
mod metrics;
mod registry;
mod secrecy;
mod sql;
mod traces;

/// The summary of the statement that reads a page of books, which on PostgreSQL has a subquery.
fn page(db: &testing::Db) -> &'static str {
    if db.is_sqlite() { "SELECT book" } else { "SELECT SELECT book" }
}
