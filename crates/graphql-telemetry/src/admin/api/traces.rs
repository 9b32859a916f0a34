//! Operations and traces of the store.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use opentelemetry::TraceId;

use crate::{
    admin::{Admin, rejection::Rejection},
    trace_store::{Operations, OperationsQuery, RootFields, TraceStore, TraceView},
};

/// Operations in a response, at most.
const MAX_OPERATIONS: usize = 1000;

fn store(admin: &Admin) -> Result<&TraceStore, Rejection> {
    let why = "No traces are stored: the store is switched off.";
    admin.traces.as_ref().ok_or_else(|| Rejection(StatusCode::NOT_FOUND, why.to_owned()))
}

/// `GET /debug/api/operations`
pub async fn operations(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<OperationsQuery>, QueryRejection>,
) -> Result<Json<Operations>, Rejection> {
    let Query(query) =
        query.map_err(|error| Rejection(StatusCode::BAD_REQUEST, error.body_text()))?;
    if !(1..=MAX_OPERATIONS).contains(&query.limit) {
        let why = format!("limit must be a whole number from 1 to {MAX_OPERATIONS}");
        return Err(Rejection(StatusCode::BAD_REQUEST, why));
    }
    Ok(Json(store(&admin)?.operations(&query)))
}

/// `GET /debug/api/root-fields`
pub async fn root_fields(State(admin): State<Arc<Admin>>) -> Result<Json<RootFields>, Rejection> {
    Ok(Json(store(&admin)?.root_fields()))
}

/// `GET /debug/api/traces/{trace_id}`
pub async fn trace(
    State(admin): State<Arc<Admin>>,
    Path(trace_id): Path<String>,
) -> Result<Json<TraceView>, Rejection> {
    let store = store(&admin)?;
    let trace = TraceId::from_hex(&trace_id).ok().and_then(|id| store.trace(id));
    let why = "No such trace is stored, or not any more.";
    trace.map(Json).ok_or_else(|| Rejection(StatusCode::NOT_FOUND, why.to_owned()))
}
