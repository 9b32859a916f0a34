//! The pools of connections, and the statements.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::{admin::Admin, sea_orm::pools, trace_store::TraceStore};

/// `GET /debug/api/database`
pub async fn get(State(admin): State<Arc<Admin>>) -> Json<Value> {
    // How many connections are idle is known by looking.
    admin.sampler.sample_others();
    let pools: Vec<_> = pools().iter().map(|pool| pool.status()).collect();
    let statements = admin.traces.as_ref().map(TraceStore::statements);
    Json(json!({ "pools": pools, "statements": statements.unwrap_or_default() }))
}
