//! `/debug/api/…`: what the runtime is doing and did lately, as JSON for the admin UI and for scripts.
//! `docs/admin-api.md` of the repository describes it.

mod database;
mod events;
pub(super) mod history;
#[cfg(feature = "profiles")]
mod profile;
pub(super) mod settings;
mod slow_polls;
mod subscriptions;
mod tasks;
mod telemetry;
#[cfg(test)]
mod tests;
mod traces;

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    routing::{any, get},
};

#[cfg(not(feature = "profiles"))]
use super::debug::without_profiles as profile;
use super::{Admin, rejection::Rejection};
#[cfg(feature = "profiles")]
use profile::get as profile;

/// The routes.
pub fn router() -> Router<Arc<Admin>> {
    Router::new()
        .route("/debug/api/operations", get(traces::operations))
        .route("/debug/api/root-fields", get(traces::root_fields))
        .route("/debug/api/traces/{trace_id}", get(traces::trace))
        .route("/debug/api/history", get(history::get))
        .route("/debug/api/events", get(events::get))
        .route("/debug/api/slow-polls", get(slow_polls::get))
        .route("/debug/api/subscriptions", get(subscriptions::get))
        .route("/debug/api/tasks", get(tasks::get))
        .route("/debug/api/profile", get(profile))
        .route("/debug/api/database", get(database::get))
        .route("/debug/api/telemetry", get(telemetry::get))
        .route("/debug/api/settings", get(settings::get))
        // Among the guarded routes: without the token, nobody sees which exist.
        .route("/debug/api/{*path}", any(not_found))
}

async fn not_found() -> Rejection {
    Rejection(StatusCode::NOT_FOUND, super::NOT_FOUND.to_owned())
}
