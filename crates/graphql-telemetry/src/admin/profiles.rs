//! CPU profiles and recordings of the runtime.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chrono::Utc;
use runtime_insight::{
    cpu::{ProfileError, SymbolizedProfile},
    recorder::{FlightRecorder, RecordError, Recording},
};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::{Admin, rejection::Rejection};
use crate::{attribute, resource::service};

/// Seconds that a recording or a profile may take.
const LONGEST: u64 = 300;

/// The routes.
pub fn router() -> Router<Arc<Admin>> {
    Router::new()
        .route("/debug/recording", post(record).get(look_back))
        .route("/debug/pprof/profile", get(pprof))
        .route("/debug/pprof/flamegraph", get(flame_graph))
}

/// How long to look.
#[derive(Deserialize)]
pub(super) struct Stretch {
    seconds: Option<u64>,
}

impl Stretch {
    /// As asked for, or `otherwise`.
    fn time(&self, otherwise: u64) -> Result<Duration, Rejection> {
        let seconds = self.seconds.unwrap_or(otherwise);
        if (1..=LONGEST).contains(&seconds) {
            return Ok(Duration::from_secs(seconds));
        }
        let why = format!("seconds must be a whole number from 1 to {LONGEST}");
        Err(Rejection(StatusCode::BAD_REQUEST, why))
    }
}

/// The query `seconds=…`.
pub(super) type SecondsQuery = Result<Query<Stretch>, QueryRejection>;

/// Returns how long to look: as the query says, or for `otherwise` seconds.
pub(super) fn time(query: SecondsQuery, otherwise: u64) -> Result<Duration, Rejection> {
    let Query(stretch) = query.unwrap_or(Query(Stretch { seconds: Some(0) }));
    stretch.time(otherwise)
}

/// The recorder, and how to have it record always.
fn recorder(admin: &Admin) -> Result<(&FlightRecorder, &'static str), Rejection> {
    let why = "This service's runtime was built without a recorder.";
    let recorder = admin.recorder.as_ref().map(|(recorder, enable)| (recorder, *enable));
    recorder.ok_or_else(|| Rejection(StatusCode::NOT_IMPLEMENTED, why.to_owned()))
}

/// Records for so many seconds, for dial9's viewer.
async fn record(
    State(admin): State<Arc<Admin>>,
    asked: SecondsQuery,
) -> Result<Response, Rejection> {
    let time = time(asked, 10)?;
    let (recorder, enable) = recorder(&admin)?;
    recording(recorder.record(time).await, enable)
}

/// What the recorder has kept, if it records all the time.
async fn look_back(State(admin): State<Arc<Admin>>) -> Result<Response, Rejection> {
    let (recorder, enable) = recorder(&admin)?;
    recording(recorder.snapshot().await, enable)
}

fn recording(made: Result<Recording, RecordError>, enable: &str) -> Result<Response, Rejection> {
    let recording = made.map_err(|error| {
        let status = match error {
            RecordError::Busy | RecordError::NotAlwaysOn => StatusCode::CONFLICT,
            RecordError::Silent | RecordError::File(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let hint = match error {
            RecordError::NotAlwaysOn => format!("; use POST, or {enable}"),
            _ => String::new(),
        };
        Rejection(status, format!("{error}{hint}"))
    })?;
    Ok(download("application/gzip", "trace.gz", recording.file))
}

/// Where CPU time went in so many seconds, for `go tool pprof` and what else reads its format.
async fn pprof(
    State(admin): State<Arc<Admin>>,
    asked: SecondsQuery,
) -> Result<Response, Rejection> {
    let time = time(asked, 30)?;
    let file =
        profile(&admin, time, move |profile| profile.pprof(time, attribute::ROOT_FIELD)).await?;
    Ok(download("application/octet-stream", "pprof.gz", file))
}

/// The same as a picture.
async fn flame_graph(
    State(admin): State<Arc<Admin>>,
    asked: SecondsQuery,
) -> Result<Response, Rejection> {
    let picture = profile(&admin, time(asked, 30)?, SymbolizedProfile::flame_graph).await?;
    // Its script zooms and searches.
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                  frame-ancestors 'none'";
    let headers =
        [(header::CONTENT_TYPE, "image/svg+xml"), (header::CONTENT_SECURITY_POLICY, policy)];
    Ok((headers, picture).into_response())
}

/// Profiles the CPU for `time`, and returns what `write` makes of it.
pub(super) async fn profile<T: Send + 'static>(
    admin: &Admin,
    time: Duration,
    write: impl FnOnce(&SymbolizedProfile) -> io::Result<T> + Send + 'static,
) -> Result<T, Rejection> {
    let profile = recorder(admin)?.0.cpu().profile(time).await.map_err(|error| {
        let status = match error {
            ProfileError::Busy => StatusCode::CONFLICT,
            ProfileError::Unavailable => StatusCode::NOT_IMPLEMENTED,
        };
        Rejection(status, error.to_string())
    })?;
    let written = spawn_blocking(move || write(&profile.symbolize())).await;
    written.map_err(Rejection::failed)?.map_err(Rejection::failed)
}

fn download(content_type: &'static str, suffix: &str, file: Vec<u8>) -> Response {
    let now = Utc::now().format("%Y%m%dT%H%M%SZ");
    let disposition = format!("attachment; filename=\"{}-{now}.{suffix}\"", service().name);
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    (headers, file).into_response()
}
