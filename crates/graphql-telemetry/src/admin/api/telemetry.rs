//! What is produced, exported and lost of the telemetry, and where it goes.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use crate::{
    admin::{Admin, rejection::Rejection},
    trace_store::TraceStore,
};

/// `GET /debug/api/telemetry`
pub async fn get(State(admin): State<Arc<Admin>>) -> Result<Json<Value>, Rejection> {
    let why = "This service's admin routes do not know its telemetry.";
    let Some(status) = &admin.telemetry else {
        return Err(Rejection(StatusCode::NOT_FOUND, why.to_owned()));
    };
    Ok(Json(json!({
        "service": status.service(),
        "signals": status.signals(),
        "scrape": status.is_scraped(),
        "trace_store": admin.traces.as_ref().map(TraceStore::stats),
    })))
}
