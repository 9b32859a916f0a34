//! The dump of `/debug/tasks`.

use std::sync::Arc;

use axum::{Json, extract::State};
use runtime_insight::dump::Dump;

use crate::admin::{Admin, debug::dump, rejection::Rejection};

/// `GET /debug/api/tasks`
pub async fn get(State(admin): State<Arc<Admin>>) -> Result<Json<Dump>, Rejection> {
    dump(&admin).await.map(Json)
}
