//! The whole service: built from settings, serving until told to stop, then drained.

use std::{io, net::SocketAddr, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, task::Builder, time::sleep};
use tracing::{info, warn};

use crate::{
    admin::{self, Health},
    books::metrics,
    command,
    config::Settings,
    database::Database,
    error::Result,
    graphql::engine::Engine,
    http::{self, Public, server::Server},
    telemetry::{self, upkeep::Upkeep},
};

/// How long to wait before the next try to reach the database.
const RETRY: Duration = Duration::from_millis(500);
/// Connections of the admin listener.
const ADMIN_CONNECTIONS: usize = 64;

/// A service that listens but does not yet serve.
pub struct Service {
    settings: Settings,
    db: Database,
    engine: Engine,
    health: Health,
    upkeep: Upkeep,
    public: (Server, TcpListener),
    admin: (Server, TcpListener),
}

/// How the service is observed.
#[derive(Clone, Default)]
pub struct Observation {
    /// The metrics to serve, unless there are none.
    pub scrape: Option<PrometheusHandle>,
    /// Whether the traces of callers are gone on with.
    pub propagate: bool,
}

/// Why a service could not be built.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be used.
    #[error("cannot open {url}: {error}")]
    Database {
        /// Without its password.
        url: String,
        /// What is wrong with it.
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
    /// An SQLite catalogue cannot be migrated or filled.
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
        observation: Observation,
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
        let engine = Engine::new(
            db.clone(),
            settings.limits.clone(),
            http.operation_timeout,
            settings.trace_documents,
        )
        .await;
        let health = Health::new(db.clone());
        let router = http::router(Public {
            engine: engine.clone(),
            max_body: settings.limits.max_body,
            body_timeout: http.request_timeout,
            propagate: observation.propagate,
        });
        let (cap, head) = (http.max_connections, http.request_timeout);
        let public = (Server::new("http connection", router, cap, head), public);
        telemetry::graphql::start_counters();
        metrics::created(0);
        let pools = db.clone();
        let upkeep = Upkeep::new(observation.scrape, move || pools.sample());
        let router = admin::router(health.clone(), upkeep.clone());
        let admin = (Server::new("admin connection", router, ADMIN_CONNECTIONS, head), admin);
        Ok(Self { settings, db, engine, health, upkeep, public, admin })
    }

    /// Where the catalogue and the admin routes are served.
    ///
    /// # Errors
    /// If the operating system does not tell.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.public.1.local_addr()?, self.admin.1.local_addr()?))
    }

    /// Serves until `stop` is done, then drains: not ready at once, no new connections, requests
    /// in flight answered. Answers whether that was done within the deadline.
    pub async fn run(self, stop: impl Future<Output = &'static str>) -> bool {
        let Self { settings, db, engine, health, upkeep, public, admin } = self;
        let (public, listener) = public;
        let (admin, admin_listener) = admin;
        let accept = {
            let public = public.clone();
            async move { public.accept(listener).await }
        };
        spawn("http accept", accept);
        spawn("admin accept", async move { admin.accept(admin_listener).await });
        spawn("telemetry upkeep", upkeep.clone().run());
        if !db.is_embedded() {
            spawn("database keeper", prepare_when_reachable(db.clone(), settings.sample));
        }
        let signal = stop.await;
        let deadline = settings.http.drain_timeout;
        info!(name: "service.draining", signal, ?deadline, "answering what is in flight");
        health.drain();
        let drained = async {
            public.drain().await;
            engine.idle().await;
        };
        let drained = tokio::time::timeout(deadline, drained).await.is_ok();
        // The last metrics to be exported tell the end.
        upkeep.sample();
        if drained {
            db.close().await;
        } else {
            warn!(name: "service.drain_timeout", ?deadline, "some requests were cut off");
        }
        drained
    }
}

fn spawn(name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    Builder::new().name(name).spawn(task).expect("the service runs inside a runtime");
}

async fn listen(
    setting: &'static str,
    address: SocketAddr,
) -> std::result::Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Listen { setting, address, error })
}

async fn prepare(db: &Database, sample: bool) -> Result<()> {
    db.migrate_up().await?;
    if sample {
        command::import::sample(db).await?;
    }
    Ok(())
}

/// Migrates as soon as the database can be reached, telling of it once and not at every try.
async fn prepare_when_reachable(db: Database, sample: bool) {
    let mut told = false;
    while let Err(error) = prepare(&db, sample).await {
        if !told {
            let error = &error as &dyn std::error::Error;
            warn!(name: "database.unreachable", error, "not ready; trying again until it is there");
            told = true;
        }
        sleep(RETRY).await;
    }
    info!(name: "database.ready", "the database is reached and its schema up to date");
}
