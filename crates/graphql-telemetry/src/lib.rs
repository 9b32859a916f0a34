//! Traces, metrics and logs of a GraphQL service on async-graphql, axum and SeaORM.

pub mod admin;
pub mod attribute;
pub mod catalog;
pub mod exception;
mod exporters;
mod gauges;
pub mod graphql;
mod handle_cache;
pub mod http;
pub mod logs;
pub mod metrics;
mod process;
mod resource;
pub mod runtime;
pub mod sea_orm;
pub mod settings;
mod telemetry;
mod text;
pub mod trace_context;
pub mod traces;
mod warnings;
pub mod websocket;

pub use self::{
    gauges::GaugeSampler,
    handle_cache::HandleCache,
    telemetry::{Builder, Telemetry, TelemetryError},
    text::intern,
};
