//! The second listener, for operators: loopback by default, and never the public one. On a thread
//! with a runtime of its own, so that it answers when the service's workers are blocked.

mod debug;
mod tasks;

use std::{
    io, net,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use runtime_insight::{recorder::FlightRecorder, spawn, watchdog};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle},
    time::timeout,
};
use tracing::error;

use crate::{
    config::limits::RequestLimits,
    database::Database,
    http::{
        bearer, headers,
        hosts::{self, Hosts},
        server::Server,
    },
    security::AdminToken,
    telemetry::upkeep::Upkeep,
};

/// How long the service's runtime may take to look whether it is ready.
const READY_LIMIT: Duration = Duration::from_secs(2);
/// Connections at a time.
const CONNECTIONS: usize = 64;

/// What the admin routes look at.
#[derive(Clone)]
pub struct Admin {
    /// For `/readyz`.
    pub health: Health,
    /// For `/metrics`.
    pub upkeep: Upkeep,
    /// For `/debug/recording`.
    pub recorder: FlightRecorder,
    /// The service's runtime.
    pub runtime: Handle,
    /// How long all workers may be blocked before `/livez` says so.
    pub stall_limit: Duration,
    /// The names by which it may be asked.
    pub hosts: Hosts,
    /// What one must have to look at more than the health.
    pub token: AdminToken,
}

impl Admin {
    /// Serves at `listener` on a thread of its own, which ends with the process.
    /// The limits are those of the public listener, but for the number of connections.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn start(self, listener: net::TcpListener, limits: &RequestLimits) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let limits = RequestLimits {
            max_connections: CONNECTIONS,
            max_connections_per_peer: CONNECTIONS,
            ..limits.clone()
        };
        let serve = async move {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            spawn("telemetry upkeep", self.upkeep.clone().run());
            let name = "admin connection";
            Server::new(name, router(self), &limits).accept(listener).await;
            Ok::<_, io::Error>(())
        };
        thread::Builder::new().name("admin".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serve) {
                error!(name: "admin.failed", %error, "the admin listener cannot be served");
            }
        })?;
        Ok(())
    }
}

/// What `/readyz` looks at.
#[derive(Clone)]
pub struct Health {
    db: Database,
    draining: Arc<AtomicBool>,
}

impl Health {
    /// The health of a service over `db`.
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { db, draining: Arc::default() }
    }

    /// From now on the service is not ready, for good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Why the service is not ready, if it is not.
    fn problem(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Acquire) { Some("draining") } else { self.db.problem() }
    }

    /// The body of a response that the service is ready.
    fn ready(&self) -> Value {
        if self.db.is_read_only() {
            json!({ "status": "ready", "database": "read-only" })
        } else {
            json!({ "status": "ready" })
        }
    }

    /// The body of a response that the service is not ready, with the database's part in it.
    fn not_ready(&self, problem: &str) -> Value {
        let mut body = json!({ "status": "not ready", "reason": problem });
        if let Some(fault) = self.db.fault() {
            body["cause"] = fault.to_string().into();
        }
        body
    }
}

fn router(admin: Admin) -> Router {
    let admin = Arc::new(admin);
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .merge(debug::router())
        .route_layer(middleware::from_fn_with_state(admin.clone(), guard));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .merge(guarded)
        .layer(middleware::from_fn_with_state(admin.clone(), check_host))
        .with_state(admin)
        .layer(middleware::map_response(async |mut response: Response| {
            headers::harden(&mut response);
            response
        }))
}

async fn check_host(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    if admin.hosts.allows(&request) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, format!("{}\n", hosts::REFUSAL)).into_response()
}

/// Lets through who has the token.
async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    if admin.token.admits(bearer::token(request.headers())) {
        return next.run(request).await;
    }
    let why = "Send COLOPHON_ADMIN_TOKEN as `Authorization: Bearer …`.\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, bearer::CHALLENGE.clone())], why)
        .into_response()
}

async fn livez(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let Some(stuck) = watchdog::stalled(admin.runtime.metrics().num_workers(), admin.stall_limit)
    else {
        return (StatusCode::OK, Json(json!({ "status": "alive" })));
    };
    if !admin.token.admits(bearer::token(&headers)) {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "blocked" })));
    }
    let workers: Vec<_> = stuck
        .iter()
        .map(|poll| {
            let operation = poll.task.as_ref().and_then(|task| task.operation());
            json!({
                "worker": poll.worker,
                "seconds": poll.since.elapsed().as_secs_f64(),
                "task": poll.task.as_ref().map(|task| task.name()),
                "field": poll.section.as_ref().map(|section| section.name),
                "traceId": operation.map(|operation| operation.span.trace_id().to_string()),
            })
        })
        .collect();
    let answer = json!({ "status": "blocked", "workers": workers });
    (StatusCode::SERVICE_UNAVAILABLE, Json(answer))
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    // https://prometheus.io/docs/instrumenting/exposition_formats/
    const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
    if let Some(text) = admin.upkeep.render() {
        ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
    } else {
        let why = "Switched off by OTEL_SDK_DISABLED or OTEL_METRICS_EXPORTER.\n";
        (StatusCode::NOT_FOUND, why).into_response()
    }
}

async fn readyz(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<Value>) {
    // Looked at on the service's runtime, so that one that is blocked is seen not to be ready.
    let look = {
        let _entered = admin.runtime.enter();
        let health = admin.health.clone();
        spawn("readiness", async move { health.problem() })
    };
    let looked = timeout(READY_LIMIT, look).await;
    match looked.map_or(Some("blocked"), |done| done.unwrap_or(Some("failed"))) {
        None => (StatusCode::OK, Json(admin.health.ready())),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, Json(admin.health.not_ready(problem))),
    }
}
