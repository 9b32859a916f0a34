//! The routes for operators: metrics, health, and what the runtime is doing. To be served by a listener
//! that is not the public one.

mod api;
mod debug;
mod index;
#[cfg(feature = "profiles")]
mod profiles;
mod rejection;
mod tasks;

use std::{io, net, sync::Arc, thread, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
#[cfg(feature = "profiles")]
use runtime_insight::recorder::FlightRecorder;
use runtime_insight::{spawn, watchdog};
use serde_json::{Map, Value, json};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle},
    time::timeout,
};
use tracing::error;

use self::api::history::History;
pub use self::api::settings::Setting;
use crate::{ExportStatus, GaugeSampler, Telemetry, trace_store::TraceStore};

/// How long the service's runtime may take to check whether it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long all workers may be blocked before `/livez` fails, unless set otherwise.
const STALL_LIMIT: Duration = Duration::from_secs(5);
/// What is said about a path that is not served.
const NOT_FOUND: &str = "not found; / lists the endpoints";

/// Whether a service is ready, for `/readyz`.
pub trait Readiness: Send + Sync + 'static {
    /// Returns why the service is not ready, in a few words such as `draining`. Called on the service's
    /// own runtime, so that one that is blocked is not ready.
    fn problem(&self) -> Option<&'static str>;

    /// Returns further members of the response's JSON.
    fn details(&self) -> Map<String, Value> {
        Map::new()
    }
}

/// A service that is ready as soon as it serves.
impl Readiness for () {
    fn problem(&self) -> Option<&'static str> {
        None
    }
}

type Authorize = Arc<dyn Fn(&HeaderMap) -> Result<(), Box<Response>> + Send + Sync>;

/// The routes for operators: `/metrics`, `/livez`, `/readyz`, `/debug/…`, and `/`, which lists them or is a
/// page.
#[derive(Clone)]
pub struct Admin {
    sampler: GaugeSampler,
    #[cfg(feature = "profiles")]
    recorder: Option<(FlightRecorder, &'static str)>,
    runtime: Handle,
    stall_limit: Duration,
    readiness: Arc<dyn Readiness>,
    authorize: Authorize,
    traces: Option<TraceStore>,
    history: Arc<History>,
    telemetry: Option<ExportStatus>,
    settings: Arc<[Setting]>,
    pages: Option<Router>,
}

impl Admin {
    /// Returns the routes of a service that runs in the current runtime. Everybody who reaches them may
    /// use them, unless [`authorize`](Self::authorize) says otherwise.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(telemetry: &Telemetry) -> Self {
        Self::with_sampler(GaugeSampler::new(telemetry.scrape(), || ()))
            .export_status(telemetry.export_status())
            .traces(telemetry.trace_store())
    }

    /// Returns the routes with a sampler that samples more than the process and the runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn with_sampler(sampler: GaugeSampler) -> Self {
        Self {
            sampler,
            #[cfg(feature = "profiles")]
            recorder: None,
            runtime: Handle::current(),
            stall_limit: STALL_LIMIT,
            readiness: Arc::new(()),
            authorize: Arc::new(|_| Ok(())),
            traces: None,
            history: Arc::default(),
            telemetry: None,
            settings: Arc::default(),
            pages: None,
        }
    }

    /// Sets what `/debug/recording` and `/debug/pprof/…` record with: what the runtime was built with.
    /// `enable` is what to do to have it record always, for the error that says that it does not.
    #[cfg(feature = "profiles")]
    #[must_use]
    pub fn recorder(mut self, recorder: FlightRecorder, enable: &'static str) -> Self {
        self.recorder = Some((recorder, enable));
        self
    }

    /// Sets how long all workers may be blocked before `/livez` fails; five seconds by default.
    #[must_use]
    pub const fn stall_limit(mut self, limit: Duration) -> Self {
        self.stall_limit = limit;
        self
    }

    /// Sets the store of traces that `/debug/api/…` shows.
    #[must_use]
    pub fn traces(mut self, store: Option<TraceStore>) -> Self {
        self.traces = store;
        self
    }

    /// Sets what `/readyz` asks.
    #[must_use]
    pub fn readiness(mut self, readiness: impl Readiness) -> Self {
        self.readiness = Arc::new(readiness);
        self
    }

    /// Sets who may see more than the health: `authorize` gets the headers of a request, and returns the
    /// response that rejects it.
    #[must_use]
    pub fn authorize(
        mut self,
        authorize: impl Fn(&HeaderMap) -> Result<(), Box<Response>> + Send + Sync + 'static,
    ) -> Self {
        self.authorize = Arc::new(authorize);
        self
    }

    /// Sets what `/debug/api/telemetry` shows, which [`new`](Self::new) has set already.
    #[must_use]
    pub fn export_status(mut self, status: ExportStatus) -> Self {
        self.telemetry = Some(status);
        self
    }

    /// Sets what `/debug/api/settings` shows. Secrets must be masked.
    #[must_use]
    pub fn settings(mut self, settings: Vec<Setting>) -> Self {
        self.settings = settings.into();
        self
    }

    /// Sets pages that everybody may load, whatever [`authorize`](Self::authorize) says: `/`, which browsers
    /// get and others not, and the files that it needs.
    #[must_use]
    pub fn pages(mut self, pages: Router) -> Self {
        self.pages = Some(pages);
        self
    }

    /// Spawns the tasks that sample on the current runtime, for ever: the gauges every five seconds, and
    /// each second the history that `/debug/api/history` and `/debug/api/events` show, which is empty
    /// without. [`serve`](Self::serve) does so.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn_samplers(&self) {
        self.sampler.spawn();
        self.history.spawn(&self.runtime, self.sampler.clone());
    }

    /// Returns the router.
    pub fn router(self) -> Router {
        let admin = Arc::new(self);
        let guarded = Router::new()
            .route("/metrics", get(metrics))
            .merge(debug::router())
            .merge(api::router())
            .route_layer(middleware::from_fn_with_state(admin.clone(), guard));
        Router::new()
            .route("/", get(index::index))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .merge(guarded)
            .fallback(index::other)
            .with_state(admin)
    }

    /// Serves the routes at `address` on a thread of its own, which ends with the process: they respond
    /// when the service's workers are blocked. Returns the address, which the kernel chose for port 0.
    ///
    /// # Errors
    /// If the address cannot be bound, or the operating system rejects a thread.
    pub fn serve(self, address: impl net::ToSocketAddrs) -> io::Result<net::SocketAddr> {
        let listener = net::TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let serve = async move {
            let listener = TcpListener::from_std(listener)?;
            self.spawn_samplers();
            axum::serve(listener, self.router()).await
        };
        thread::Builder::new().name("admin".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serve) {
                error!(name: "admin.failed", { exception.message = %error }, "admin listener failed");
            }
        })?;
        Ok(address)
    }
}

async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    match (admin.authorize)(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(rejection) => *rejection,
    }
}

async fn livez(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let Some(stuck) = watchdog::stalled(admin.runtime.metrics().num_workers(), admin.stall_limit)
    else {
        return (StatusCode::OK, Json(json!({ "status": "alive" })));
    };
    if (admin.authorize)(&headers).is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "blocked" })));
    }
    let workers: Vec<_> = stuck
        .iter()
        .map(|poll| {
            let operation = poll.task.as_ref().and_then(|task| task.operation());
            json!({
                "worker": poll.worker,
                "seconds": poll.since.elapsed().as_secs_f64(),
                "task": poll.task.as_ref().map(|task| task.name()),
                "field": poll.section.as_ref().map(|section| section.name),
                "traceId": operation.map(|operation| operation.span.trace_id().to_string()),
            })
        })
        .collect();
    let body = json!({ "status": "blocked", "workers": workers });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    // https://prometheus.io/docs/instrumenting/exposition_formats/
    const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
    if let Some(text) = admin.sampler.render() {
        ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
    } else {
        let why = "Switched off by OTEL_SDK_DISABLED or OTEL_METRICS_EXPORTER.\n";
        (StatusCode::NOT_FOUND, why).into_response()
    }
}

async fn readyz(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<Value>) {
    let check = {
        let _entered = admin.runtime.enter();
        let readiness = admin.readiness.clone();
        spawn("readiness", async move { readiness.problem() })
    };
    let checked = timeout(READY_TIMEOUT, check).await;
    let mut body = admin.readiness.details();
    match checked.map_or(Some("blocked"), |done| done.unwrap_or(Some("failed"))) {
        None => {
            body.insert("status".into(), "ready".into());
            (StatusCode::OK, Json(body.into()))
        }
        Some(problem) => {
            body.insert("status".into(), "not ready".into());
            body.insert("reason".into(), problem.into());
            (StatusCode::SERVICE_UNAVAILABLE, Json(body.into()))
        }
    }
}
