//! The last slow polls.

use axum::Json;
use serde_json::{Value, json};

use crate::slow_polls::recent;

/// `GET /debug/api/slow-polls`
pub async fn get() -> Json<Value> {
    let polls = recent();
    let polls: Vec<_> = polls.iter().map(|poll| &**poll).collect();
    Json(json!({ "slow_polls": polls }))
}
