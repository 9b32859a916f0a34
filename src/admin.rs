//! The second listener, for operators: loopback by default, and never the public one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use crate::{database::Database, telemetry::upkeep::Upkeep};

/// How long the database may take to give a sign of life.
const PING_LIMIT: Duration = Duration::from_secs(1);

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
    async fn problem(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Acquire) {
            return Some("draining");
        }
        if !self.db.is_migrated() {
            return Some("database not reached or not migrated");
        }
        self.db.ping(PING_LIMIT).await.err().map(|_| "database not reached")
    }
}

/// The routes of the admin listener.
pub fn router(health: Health, upkeep: Upkeep) -> Router {
    Router::new()
        .route("/livez", get(async || Json(json!({ "status": "alive" }))))
        .route("/readyz", get(readyz))
        .with_state(health)
        .route("/metrics", get(metrics))
        .with_state(upkeep)
}

async fn metrics(State(upkeep): State<Upkeep>) -> Response {
    // https://prometheus.io/docs/instrumenting/exposition_formats/
    const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
    if let Some(text) = upkeep.render() {
        ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
    } else {
        let why = "Switched off by OTEL_SDK_DISABLED or OTEL_METRICS_EXPORTER.\n";
        (StatusCode::NOT_FOUND, why).into_response()
    }
}

async fn readyz(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    match health.problem().await {
        None => (StatusCode::OK, Json(json!({ "status": "ready" }))),
        Some(problem) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "not ready", "reason": problem })),
        ),
    }
}
