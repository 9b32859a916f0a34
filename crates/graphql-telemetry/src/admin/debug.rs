//! `/debug/…`: what the runtime is doing, for people and their tools.

use std::{fmt::Display, io, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chrono::Utc;
use runtime_insight::{
    cpu::{ProfileError, SymbolizedProfile},
    dump::{self, DumpError},
    recorder::{FlightRecorder, RecordError, Recording},
};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::{Admin, tasks};
use crate::{attribute, resource::service};

/// How long tasks may take to say where they are.
const DUMP_LIMIT: Duration = Duration::from_secs(2);
/// Seconds that a recording or a profile may take.
const LONGEST: u64 = 300;

/// The routes.
pub fn router() -> Router<Arc<Admin>> {
    Router::new()
        .route("/debug/tasks", get(tasks))
        .route("/debug/recording", post(record).get(look_back))
        .route("/debug/pprof/profile", get(pprof))
        .route("/debug/pprof/flamegraph", get(flame_graph))
}

/// Why there is nothing to see.
struct Refusal(StatusCode, String);

impl Refusal {
    fn failed(error: impl Display) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

/// How long to look.
#[derive(Deserialize)]
struct Stretch {
    seconds: Option<u64>,
}

impl Stretch {
    /// As asked for, or `otherwise`.
    fn time(&self, otherwise: u64) -> Result<Duration, Refusal> {
        let seconds = self.seconds.unwrap_or(otherwise);
        if (1..=LONGEST).contains(&seconds) {
            return Ok(Duration::from_secs(seconds));
        }
        let why = format!("seconds must be a whole number from 1 to {LONGEST}");
        Err(Refusal(StatusCode::BAD_REQUEST, why))
    }
}

type Asked = Result<Query<Stretch>, QueryRejection>;

fn time(asked: Asked, otherwise: u64) -> Result<Duration, Refusal> {
    let Query(stretch) = asked.unwrap_or(Query(Stretch { seconds: Some(0) }));
    stretch.time(otherwise)
}

/// The recorder, and how to have it record always.
fn recorder(admin: &Admin) -> Result<(&FlightRecorder, &'static str), Refusal> {
    let why = "This service's runtime was built without a recorder.";
    let recorder = admin.recorder.as_ref().map(|(recorder, enable)| (recorder, *enable));
    recorder.ok_or_else(|| Refusal(StatusCode::NOT_IMPLEMENTED, why.to_owned()))
}

/// Records for so many seconds, for dial9's viewer.
async fn record(State(admin): State<Arc<Admin>>, asked: Asked) -> Result<Response, Refusal> {
    let time = time(asked, 10)?;
    let (recorder, enable) = recorder(&admin)?;
    recording(recorder.record(time).await, enable)
}

/// What the recorder has kept, if it records all the time.
async fn look_back(State(admin): State<Arc<Admin>>) -> Result<Response, Refusal> {
    let (recorder, enable) = recorder(&admin)?;
    recording(recorder.snapshot().await, enable)
}

fn recording(made: Result<Recording, RecordError>, enable: &str) -> Result<Response, Refusal> {
    let recording = made.map_err(|error| {
        let status = match error {
            RecordError::Busy | RecordError::NotAlwaysOn => StatusCode::CONFLICT,
            RecordError::Silent | RecordError::File(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let hint = match error {
            RecordError::NotAlwaysOn => format!("; use POST, or {enable}"),
            _ => String::new(),
        };
        Refusal(status, format!("{error}{hint}"))
    })?;
    Ok(download("application/gzip", "trace.gz", recording.file))
}

/// Where CPU time went in so many seconds, for `go tool pprof` and what else reads its format.
async fn pprof(State(admin): State<Arc<Admin>>, asked: Asked) -> Result<Response, Refusal> {
    let time = time(asked, 30)?;
    let file =
        profile(&admin, time, move |profile| profile.pprof(time, attribute::ROOT_FIELD)).await?;
    Ok(download("application/octet-stream", "pprof.gz", file))
}

/// The same as a picture.
async fn flame_graph(State(admin): State<Arc<Admin>>, asked: Asked) -> Result<Response, Refusal> {
    let picture = profile(&admin, time(asked, 30)?, SymbolizedProfile::flame_graph).await?;
    // Its script zooms and searches.
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                  frame-ancestors 'none'";
    let headers =
        [(header::CONTENT_TYPE, "image/svg+xml"), (header::CONTENT_SECURITY_POLICY, policy)];
    Ok((headers, picture).into_response())
}

async fn profile(
    admin: &Admin,
    time: Duration,
    write: impl FnOnce(&SymbolizedProfile) -> io::Result<Vec<u8>> + Send + 'static,
) -> Result<Vec<u8>, Refusal> {
    let profile = recorder(admin)?.0.cpu().profile(time).await.map_err(|error| {
        let status = match error {
            ProfileError::Busy => StatusCode::CONFLICT,
            ProfileError::Unavailable => StatusCode::NOT_IMPLEMENTED,
        };
        Refusal(status, error.to_string())
    })?;
    let written = spawn_blocking(move || write(&profile.symbolize())).await;
    written.map_err(Refusal::failed)?.map_err(Refusal::failed)
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

/// All live tasks and where they are parked: JSON if asked for, text otherwise.
async fn tasks(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let made = spawn_blocking(move || dump::dump(&admin.runtime, DUMP_LIMIT)).await;
    let dump = made.map_err(Refusal::failed)?.map_err(|error| {
        let status = match error {
            DumpError::Busy => StatusCode::CONFLICT,
            DumpError::Unsupported => StatusCode::NOT_IMPLEMENTED,
        };
        Refusal(status, error.to_string())
    })?;
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    Ok(if accepted.is_some_and(|accepted| accepted.contains("application/json")) {
        Json(dump).into_response()
    } else {
        tasks::text(&dump).into_response()
    })
}
