//! The public listener: GraphQL over HTTP and WebSocket, the playground, and the accept loop.

pub mod assets;
pub mod bearer;
pub mod compression;
pub mod csrf;
pub mod forwarded;
pub mod graphql;
pub mod headers;
pub mod hosts;
pub mod negotiate;
pub mod origin;
pub mod playground;
pub mod server;
pub mod sse;
pub mod trace;
pub mod websocket;

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::{any, get},
};
use futures_util::FutureExt;
use graphql_telemetry::trace_store::TraceStore;

use crate::{
    config::limits::{RequestLimits, SubscriptionLimits},
    error::{Code, Error},
    graphql::execution::engine::Engine,
    http::{
        compression::Compression,
        graphql::RequestError,
        hosts::Hosts,
        negotiate::MediaType,
        origin::AllowedOrigins,
        server::{Connection, response_budget::ResponseBudget},
    },
    security::Authenticator,
};

/// What the public handlers share.
#[derive(Clone)]
pub struct AppState {
    /// Runs operations.
    pub engine: Arc<Engine>,
    /// What a request may cost.
    pub limits: RequestLimits,
    /// How many subscriptions there may be.
    pub subscription_limits: SubscriptionLimits,
    /// Memory for responses until they are sent.
    pub budget: ResponseBudget,
    /// Who may ask.
    pub access: Authenticator,
    /// The names by which it may be asked.
    pub hosts: Hosts,
    /// The sites whose pages may ask.
    pub origins: AllowedOrigins,
    /// Compresses answers, unless a proxy is to do that.
    pub compression: Option<Compression>,
    /// Whether browsers get the playground.
    pub playground: bool,
    /// The recent traces, unless none are stored.
    pub traces: Option<TraceStore>,
}

/// The routes of the public listener.
pub fn router(state: AppState) -> Router {
    let has_playground = state.playground;
    let cors = state.origins.cors();
    let (hosts, compression) = (state.hosts.clone(), state.compression.clone());
    let instrument =
        move |request, next| instrument(hosts.clone(), compression.clone(), request, next);
    let pages = if has_playground {
        Router::new()
            .route("/", get(playground::index))
            .route("/assets/{*path}", get(playground::asset))
            .route("/trace/{traceresponse}", get(trace::trace))
    } else {
        Router::new().route("/", get(playground::status))
    };
    let router = Router::new()
        .route("/graphql", any(endpoint))
        .merge(pages)
        .fallback(playground::not_found)
        .with_state(Arc::new(state));
    // Before the handlers: who asks whether it may ask has no token yet.
    let router = match cors {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(middleware::from_fn(instrument))
}

/// Instruments and guards each request. In one layer, since each takes three allocations a request.
async fn instrument(
    hosts: Hosts,
    compression: Option<Compression>,
    request: Request,
    next: Next,
) -> Response {
    let handle = |request: Request| async move {
        let accepted = request.headers().get_all(header::ACCEPT_ENCODING);
        let accepted: Vec<_> = accepted.iter().cloned().collect();
        let connection = request.extensions().get::<Connection>();
        let mut response = if connection.is_some_and(Connection::is_over_share) {
            let message = "Too many concurrent requests from this client.".into();
            let error = Error::Client(Code::Overloaded, message);
            let status = StatusCode::TOO_MANY_REQUESTS;
            graphql::error_response(MediaType::Json, RequestError { status, error })
        } else if hosts.allows(&request) {
            let handled = AssertUnwindSafe(next.run(request)).catch_unwind().await;
            handled.unwrap_or_else(graphql::panicked)
        } else {
            graphql::error_response(
                MediaType::Json,
                Error::Client(Code::Forbidden, hosts::REFUSAL.into()),
            )
        };
        headers::harden(&mut response);
        match compression {
            Some(compression) => compression.compress(accepted, response).await,
            None => response,
        }
    };
    graphql_telemetry::http::instrument(request, handle).await
}

/// GraphQL, by whichever protocol it is asked.
async fn endpoint(State(state): State<Arc<AppState>>, request: Request) -> Response {
    if websocket::is_asked_for(&request) {
        websocket::accept(&state, request)
    } else {
        graphql::handle(state, request).await
    }
}
