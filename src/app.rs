//! The service: built from settings, serving until a signal, then drained.

use std::{
    io,
    net::{self, SocketAddr},
    sync::Arc,
    time::Duration,
};

use graphql_telemetry::{
    self as telemetry, ExportStatus, GaugeSampler,
    admin::{self, Setting},
    graphql::ErrorCode,
    metrics::Scrape,
    trace_store::TraceStore,
};
use runtime_insight::recorder::FlightRecorder;
use tokio::{net::TcpListener, time::sleep};
use tracing::{Instrument, field::Empty, info, info_span, instrument, warn};

use crate::{
    admin::{Admin, Health},
    catalog::metrics,
    cli,
    config::Settings,
    database::Database,
    error::{Code, Error, Result},
    graphql::execution::{
        documents::trusted::ManifestError, engine::Engine, subscriptions::Subscriptions,
    },
    http::{
        self, AppState,
        compression::Compression,
        forwarded::TrustedProxies,
        hosts::Hosts,
        origin::AllowedOrigins,
        server::{Server, response_budget::ResponseBudget, rlimit},
        websocket::close::Reason,
    },
    security::{AdminToken, Authenticator, SecurityError},
    shutdown::Signals,
};

/// How long to wait before the next try to prepare the database.
const RETRY: Duration = Duration::from_millis(500);

/// A service that listens and does not yet serve.
pub struct Service {
    settings: Settings,
    db: Database,
    engine: Arc<Engine>,
    public: (Server, TcpListener),
    health: Health,
    admin: (Admin, net::TcpListener),
    sampler: GaugeSampler,
}

/// The telemetry that the service serves and samples, and what else the admin listener shows.
#[derive(Clone)]
pub struct TelemetryHandles {
    /// The metrics to serve, unless there are none.
    pub scrape: Option<Scrape>,
    /// What records the runtime when asked to.
    pub recorder: FlightRecorder,
    /// The recent traces, unless none are stored.
    pub traces: Option<TraceStore>,
    /// What becomes of the telemetry.
    pub exports: ExportStatus,
    /// The effective settings, secrets masked.
    pub settings: Vec<Setting>,
}

/// Why a service could not be built.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be used.
    #[error("cannot open {url}: {error}")]
    Database {
        /// Without its password.
        url: String,
        /// Its error.
        error: sea_orm::DbErr,
    },
    /// An address cannot be listened at.
    #[error("cannot listen at {address}, which {setting} says: {error}")]
    Listen {
        /// The setting to change.
        setting: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the operating system says.
        error: io::Error,
    },
    /// Authentication cannot be set up.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The trusted documents cannot be used.
    #[error(transparent)]
    Documents(#[from] ManifestError),
    /// An SQLite catalog cannot be migrated or filled.
    #[error("cannot prepare {url}: {error}")]
    Prepare {
        /// Without its password.
        url: String,
        /// What failed.
        error: crate::error::Error,
    },
}

impl Service {
    /// Opens the database and the listeners.
    ///
    /// # Errors
    /// If one of them cannot be opened. A PostgreSQL server may be absent; an SQLite file that
    /// cannot be used will not get better by waiting.
    pub async fn build(
        settings: Settings,
        observation: TelemetryHandles,
    ) -> std::result::Result<Self, StartError> {
        let url = settings.database.database_url.to_string();
        let db = Database::open(&settings.database)
            .await
            .map_err(|error| StartError::Database { url: url.clone(), error })?;
        if db.is_embedded() {
            prepare(&db, settings.sample)
                .await
                .map_err(|error| StartError::Prepare { url, error })?;
        }
        let http = &settings.http;
        let public = listen("COLOPHON_LISTEN", http.listen).await?;
        let admin = listen("COLOPHON_ADMIN_LISTEN", http.admin_listen).await?;
        let admin = admin.into_std().map_err(|error| StartError::Listen {
            setting: "COLOPHON_ADMIN_LISTEN",
            address: http.admin_listen,
            error,
        })?;
        let engine = Engine::new(db.clone(), &settings);
        let engine = Arc::new(engine.with_trusted_documents(&settings.documents)?);
        let limits =
            rlimit::cap_connections(&settings.limits.requests, settings.database.pool_size);
        let security = &settings.security;
        let access = Authenticator::new(security)?;
        let budget = ResponseBudget::new(limits.max_backlog);
        let router = http::router(AppState {
            engine: engine.clone(),
            limits: limits.clone(),
            subscription_limits: settings.limits.subscriptions.clone(),
            budget: budget.clone(),
            compression: http.compression.then(|| Compression::new(budget.clone())),
            origins: AllowedOrigins::new(&security.allowed_origins, &security.allowed_headers),
            playground: !security.production,
            traces: observation.traces.clone(),
            hosts: Hosts::new(http.listen, access.is_open(), &security.allowed_hosts),
            access,
        });
        let server = Server::new("http connection", router, &limits)
            .measured(&limits)
            .with_response_budget(budget)
            .with_trusted_proxies(TrustedProxies::new(&security.trusted_proxies));
        let public = (server, public);
        telemetry::graphql::start_counters(Code::ALL.map(ErrorCode::from));
        telemetry::websocket::start_counters(Reason::ALL.map(Reason::as_str));
        metrics::created(0);
        let pools = db.clone();
        let sampler = GaugeSampler::new(observation.scrape, move || pools.sample());
        let health = Health::new(db.clone());
        let with_admin = Admin {
            routes: admin::Admin::with_sampler(sampler.clone())
                .recorder(observation.recorder, "start with --flight-recorder")
                .traces(observation.traces)
                .export_status(observation.exports)
                .settings(observation.settings)
                .stall_limit(settings.runtime.stall_limit)
                .readiness(health.clone()),
            hosts: Hosts::new(
                http.admin_listen,
                security.admin_token.is_none(),
                &security.allowed_hosts,
            ),
            token: AdminToken::new(security.admin_token.clone()),
            has_ui: settings.serves_admin_ui(),
        };
        Ok(Self { settings, db, engine, public, health, admin: (with_admin, admin), sampler })
    }

    /// Where the catalog and the admin routes are served.
    ///
    /// # Errors
    /// If the operating system does not report them.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.public.1.local_addr()?, self.admin.1.local_addr()?))
    }

    /// Serves until a signal comes, then drains: not ready at once, no new connections, requests
    /// in flight answered. Answers whether that was done within the deadline, and before somebody
    /// became impatient.
    ///
    /// # Errors
    /// If admin listener failed.
    pub async fn run(self, mut signals: Signals) -> io::Result<bool> {
        let Self { settings, db, engine, public, health, admin, sampler } = self;
        let (public, listener) = public;
        let (admin, admin_listener) = admin;
        admin.start(admin_listener, &settings.limits.requests)?;
        let accept = {
            let public = public.clone();
            async move { public.accept(listener).await }
        };
        runtime_insight::spawn("http accept", accept);
        db.spawn_health_monitor();
        db.spawn_listener();
        runtime_insight::spawn("subscriptions", Subscriptions::dispatch(engine.clone()));
        if !db.is_embedded() {
            runtime_insight::spawn(
                "database preparation",
                prepare_when_reachable(db.clone(), settings.sample),
            );
        }
        let signal = signals.stop().await;
        let deadline = settings.http.drain_timeout;
        health.drain();
        let deadline_seconds = deadline.as_secs_f64();
        info!(
            name: "service.draining",
            { drain.signal = signal, drain.deadline = deadline_seconds },
            "draining: finishing requests in flight"
        );
        let drained = async {
            public.drain().await;
            engine.idle().await;
        };
        let drained = async {
            tokio::select! {
                drained = tokio::time::timeout(deadline, drained) => drained.is_ok(),
                () = signals.hurry() => false,
            }
        };
        let span = info_span!("drain", drain.complete = Empty);
        let drained = drained.instrument(span.clone()).await;
        span.record("drain.complete", drained);
        drop(span);
        // So that the last metrics that are exported have the end.
        sampler.sample();
        if drained {
            db.close().await;
        } else {
            warn!(name: "service.not_drained", { drain.deadline = deadline_seconds }, "drain timed out; some requests were aborted");
        }
        Ok(drained)
    }
}

async fn listen(
    setting: &'static str,
    address: SocketAddr,
) -> std::result::Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Listen { setting, address, error })
}

#[instrument(name = "prepare database", skip_all)]
async fn prepare(db: &Database, sample: bool) -> Result<()> {
    db.migrate_up().await?;
    if !db.check_writable().await? {
        warn!(name: "database.read_only", "database is read-only; mutations fail");
    } else if sample {
        cli::import::sample(db).await?;
    }
    Ok(())
}

/// Migrates as soon as the database can be reached, telling of failures once and not at every try.
async fn prepare_when_reachable(db: Database, sample: bool) {
    let mut told = false;
    db.reached().await;
    while let Err(error) = prepare(&db, sample).await {
        if let Error::Database(fault) = &error {
            db.set_fault(Some(fault.clone()));
        }
        if !told {
            let error = &error as &dyn std::error::Error;
            warn!(name: "database.unprepared", { exception.message = error }, "database not ready; retrying");
            told = true;
        }
        sleep(RETRY).await;
        db.reached().await;
    }
    db.set_fault(None);
    info!(name: "database.ready", "database ready; its schema is up to date");
}
