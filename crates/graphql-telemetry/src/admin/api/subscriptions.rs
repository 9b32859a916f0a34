//! The open subscriptions.

use axum::Json;
use serde_json::{Value, json};

use crate::graphql::open_subscriptions;

/// Subscriptions that are listed.
const LIMIT: usize = 1000;

/// `GET /debug/api/subscriptions`
pub async fn get() -> Json<Value> {
    let (open, subscriptions) = open_subscriptions(LIMIT);
    Json(json!({ "open": open, "subscriptions": subscriptions }))
}
