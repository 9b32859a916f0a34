//! Starts the program as users do: as a process, with flags and environment, over HTTP. And what
//! stands around it: databases, a pooler, collectors, Prometheus, Elasticsearch.
//!
//! Everything panics where it cannot go on, which fails the test.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails"
)]
#![expect(clippy::must_use_candidate, reason = "what a test does not look at is no mistake")]

pub mod collector;
mod database;
pub mod elasticsearch;
pub mod otlp;
pub mod pgbouncer;
pub mod postgres;
pub mod probe;
mod process;
pub mod prometheus;
pub mod proxy;
pub mod registry;
mod service;
pub mod socket;
pub mod sse;
pub mod stack;
mod waiting;

use std::path::Path;

pub use database::Db;
pub use process::{program, stderr, stdout};
pub use service::{Service, client, trace_of};
pub use waiting::{PATIENCE, allowed, full, wait_until};

/// The folder of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
