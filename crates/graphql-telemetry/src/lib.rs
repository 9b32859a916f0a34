//! The telemetry of a GraphQL service on async-graphql, axum and SeaORM: one trace from the request down to
//! its SQL, metrics for Prometheus and OTLP, log lines with trace ids, and what the runtime was doing.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use graphql_telemetry::{Telemetry, runtime};
//!
//! let telemetry = Telemetry::builder("shop", env!("CARGO_PKG_VERSION")).from_env()?.install()?;
//! runtime::builder().build()?.block_on(async { /* serve */ });
//! # Ok(()) }
//! ```
//!
//! | what | how |
//! |---|---|
//! | traces, metrics and logs by OTLP, set by the variables of the OpenTelemetry specification | [`Telemetry::builder`], [`settings`] |
//! | requests | [`http::TelemetryLayer`] |
//! | operations, their phases and fields, subscriptions and their events, as an extension of async-graphql | [`graphql::TelemetryExtension`] |
//! | the same by explicit calls, which cost less | [`graphql::Operation`], [`graphql::Execution`], [`graphql::Call`] |
//! | subscriptions, and their events in traces of their own, by explicit calls | [`graphql::Subscription`], [`graphql::Operation::start_event`] |
//! | batches of a DataLoader | [`graphql::spawn_batch`], [`graphql::RequestingFields`] |
//! | statements of any connection of SeaORM | [`sea_orm::Instrumented`], [`sea_orm::Statements`] |
//! | a pool | [`sea_orm::PoolMetrics`] |
//! | WebSockets | [`websocket`] |
//! | slow polls, and where an operation's time went | [`runtime`] |
//! | recent traces in the process, with their log lines | [`Builder::trace_store`], [`trace_store`] |
//! | metrics of the application | [`Builder::metrics`], [`catalog`] |
//! | `/metrics`, `/livez`, `/readyz`, `/debug/…` | [`admin::Admin`] |
//! | the last 15 minutes, slow polls, tasks, profiles, pools and losses as JSON | `/debug/api/…` of [`admin::Admin`] |
//! | an admin page, and the settings it shows | [`admin::Admin::pages`], [`admin::Admin::settings`] |
//!
//! # Platforms
//!
//! | | Linux, `tokio_unstable` | Linux | macOS, `tokio_unstable` |
//! |---|---|---|---|
//! | traces, metrics, logs | yes | yes | yes |
//! | metrics of the process | yes | yes | uptime only |
//! | slow polls | all tasks | tasks of `runtime-insight` | all tasks |
//! | `/debug/tasks` | yes | 501 | 501 |
//! | `/debug/api/history` | yes | without queues' depth, poll times and latencies | without CPU and memory |
//! | CPU profiles (feature `profiles`) | yes | yes | 501 |
//! | recordings (feature `profiles`) | yes | polls only | without CPU samples |
//! | tokio-console (feature `console`) | yes | no | yes |
//!
//! It is tested on Linux with `tokio_unstable`; the rest is compiled only. How to set the flag says
//! `runtime-insight`.

pub mod admin;
pub mod attribute;
pub mod catalog;
mod error;
mod exception;
mod export_status;
mod exporters;
mod gauges;
pub mod graphql;
mod handle_cache;
pub mod http;
mod latency;
pub mod logs;
pub mod metrics;
mod process;
mod resource;
pub mod runtime;
pub mod sea_orm;
pub mod settings;
mod slow_polls;
mod telemetry;
mod text;
mod totals;
pub mod trace_context;
pub mod trace_store;
pub mod traces;
mod warnings;
pub mod websocket;

pub use self::{
    error::TelemetryError,
    export_status::ExportStatus,
    gauges::GaugeSampler,
    telemetry::{Builder, Telemetry},
    text::intern,
};
