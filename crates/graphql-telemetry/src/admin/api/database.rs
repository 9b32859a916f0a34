//! The pools of connections, and the statements.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::{admin::Admin, sea_orm::pools};

/// `GET /debug/api/database`
pub async fn get(State(admin): State<Arc<Admin>>) -> Json<Value> {
    // How many connections are idle is known by looking.
    admin.sampler.sample_others();
    Json(body(Vec::new()))
}

/// The pools as they are now, and `statements`.
fn body(statements: Vec<Value>) -> Value {
    let pools: Vec<_> = pools().iter().map(|pool| pool.status()).collect();
    json!({ "pools": pools, "statements": statements })
}
