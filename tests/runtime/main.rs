//! What can be seen of the asynchronous runtime, with the tools that people look with: each kind of
//! trouble that the laboratory makes leaves its finger-print.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin_api;
mod console;
mod dump;
mod fingerprints;
mod leftovers;
mod profile;
mod recording;
mod watchdog;

use testing::{
    Db, Service,
    collector::{Collector, Span, prompt},
};

/// The laboratory, on two workers, with the usual idea of what is slow.
const LAB: [(&str, &str); 3] =
    [("COLOPHON_LAB", "1"), ("COLOPHON_SLOW_POLL", "10ms"), ("TOKIO_WORKER_THREADS", "2")];

/// A service with the laboratory.
async fn lab(db: &Db) -> Service {
    lab_with(db, &[]).await
}

/// The same with further variables.
async fn lab_with(db: &Db, variables: &[(&str, &str)]) -> Service {
    db.serve_in(&[&LAB, variables].concat()).await
}

/// The same, telling a collector everything without delay.
async fn observed_lab(db: &Db, collector: &Collector) -> Service {
    lab_with(db, &prompt(&collector.http)).await
}

/// Waits until the log has `event` so many times.
async fn told(service: &Service, event: &str, times: usize) {
    let started = std::time::Instant::now();
    while service.log().iter().filter(|line| line["event"] == event).count() < times {
        assert!(started.elapsed() < testing::PATIENCE, "{event} was not logged {times} times");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// A number among a span's attributes.
fn number(span: &Span, name: &str) -> f64 {
    span.attribute(name).parse().unwrap()
}

/// The value of a series in a scrape; nothing if it is not there.
fn series(scrape: &str, name: &str) -> Option<f64> {
    scrape.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}
