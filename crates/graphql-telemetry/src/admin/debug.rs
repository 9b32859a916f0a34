//! `/debug/…`: what the runtime is doing, for people and their tools.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use runtime_insight::dump::{self, Dump, DumpError};
use tokio::task::spawn_blocking;

use super::{Admin, rejection::Rejection, tasks};

/// How long tasks may take to say where they are.
const DUMP_LIMIT: Duration = Duration::from_secs(2);

/// The routes.
pub fn router() -> Router<Arc<Admin>> {
    let router = Router::new().route("/debug/tasks", get(tasks));
    #[cfg(feature = "profiles")]
    return router.merge(super::profiles::router());
    #[cfg(not(feature = "profiles"))]
    ["/debug/recording", "/debug/pprof/profile", "/debug/pprof/flamegraph"]
        .into_iter()
        .fold(router, |router, path| router.route(path, axum::routing::any(without_profiles)))
}

#[cfg(not(feature = "profiles"))]
pub async fn without_profiles() -> Rejection {
    let why = "This service was built without the feature `profiles`.".to_owned();
    Rejection(StatusCode::NOT_IMPLEMENTED, why)
}

/// Dumps the live tasks.
pub(super) async fn dump(admin: &Admin) -> Result<Dump, Rejection> {
    let runtime = admin.runtime.clone();
    let made = spawn_blocking(move || dump::dump(&runtime, DUMP_LIMIT)).await;
    made.map_err(Rejection::failed)?.map_err(|error| {
        let status = match error {
            DumpError::Busy => StatusCode::CONFLICT,
            DumpError::Unsupported => StatusCode::NOT_IMPLEMENTED,
        };
        Rejection(status, error.to_string())
    })
}

/// All live tasks and where they are parked: JSON if asked for, text otherwise.
async fn tasks(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Result<Response, Rejection> {
    let dump = dump(&admin).await?;
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    Ok(if accepted.is_some_and(|accepted| accepted.contains("application/json")) {
        Json(dump).into_response()
    } else {
        tasks::text(&dump).into_response()
    })
}
