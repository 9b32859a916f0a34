//! The public listener: GraphQL over HTTP, the playground, and the accept loop.

pub mod graphql;
pub mod negotiate;
pub mod playground;
pub mod server;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{any, get},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{config::limits::RequestLimits, graphql::engine::Engine, telemetry};

/// What the public handlers share.
#[derive(Clone)]
pub struct Public {
    /// Runs operations.
    pub engine: Engine,
    /// What a request may cost.
    pub limits: RequestLimits,
    /// Whether the caller's trace is gone on with.
    pub propagate: bool,
}

/// The routes of the public listener.
pub fn router(public: Public) -> Router {
    let propagate = public.propagate;
    let trace = move |request, next| telemetry::http::trace(propagate, request, next);
    Router::new()
        .route("/graphql", any(graphql::handle))
        .route("/", get(playground::index))
        .route("/assets/{*path}", get(playground::asset))
        .fallback(playground::not_found)
        .with_state(Arc::new(public))
        .layer(CatchPanicLayer::custom(graphql::panicked))
        .layer(middleware::from_fn(trace))
}
