//! What runs around the service: the collector's layers with the backends that they feed, and what
//! dashboards and alerts make of it, all with the real programs and the repository's files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod elastic_cloud;
mod elasticsearch;
mod layers;
mod load;
mod panels;
mod rules;
mod sampling;
