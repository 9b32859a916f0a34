//! The second listener, for operators: loopback by default, and never the public one. On a thread
//! with a runtime of its own, so that it answers when the service's workers are blocked.

mod ui;

use std::{
    io, net,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use graphql_telemetry::admin::{self, Readiness, Setting};
use serde_json::{Map, Value};
use tokio::{net::TcpListener, runtime::Builder};
use tracing::error;

use crate::{
    config::{EffectiveSetting, limits::RequestLimits},
    database::Database,
    http::{
        bearer, headers,
        hosts::{self, Hosts},
        server::Server,
    },
    security::AdminToken,
};

/// Connections at a time.
const CONNECTIONS: usize = 64;

/// The listener for operators, before it serves.
#[derive(Clone)]
pub struct Admin {
    /// Its routes.
    pub routes: admin::Admin,
    /// The names by which it may be asked.
    pub hosts: Hosts,
    /// What one must have to look at more than the health.
    pub token: AdminToken,
    /// Whether browsers get the admin UI.
    pub has_ui: bool,
}

impl Admin {
    /// Serves at `listener` on a thread of its own, which ends with the process.
    /// The limits are those of the public listener, but for the number of connections.
    ///
    /// # Errors
    /// If the operating system returns an error.
    pub fn start(self, listener: net::TcpListener, limits: &RequestLimits) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let limits = RequestLimits {
            max_connections: CONNECTIONS,
            max_connections_per_peer: CONNECTIONS,
            ..limits.clone()
        };
        let serve = async move {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            self.routes.spawn_samplers();
            let name = "admin connection";
            Server::new(name, self.router(), &limits).accept(listener).await;
            Ok::<_, io::Error>(())
        };
        thread::Builder::new().name("admin".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serve) {
                error!(name: "admin.failed", { exception.message = %error }, "admin listener failed");
            }
        })?;
        Ok(())
    }

    fn router(self) -> Router {
        let Self { routes, hosts, token, has_ui } = self;
        let routes = if has_ui { routes.pages(ui::router()) } else { routes };
        routes
            .authorize(move |headers| authorize(&token, headers))
            .router()
            .layer(middleware::from_fn_with_state(hosts, check_host))
            .layer(middleware::map_response(async |mut response: Response| {
                headers::harden(&mut response);
                response
            }))
    }
}

/// The settings as the admin API shows them.
pub fn shown(settings: Vec<EffectiveSetting>) -> Vec<Setting> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let setting = |EffectiveSetting { flag, variable, value, source }| Setting {
        flag: some(flag),
        variable: some(variable),
        value: some(value),
        source,
    };
    settings.into_iter().map(setting).collect()
}

async fn check_host(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    if hosts.allows(&request) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, format!("{}\n", hosts::REFUSAL)).into_response()
}

/// Lets through who has the token.
fn authorize(token: &AdminToken, headers: &HeaderMap) -> Result<(), Box<Response>> {
    if token.admits(bearer::token(headers)) {
        return Ok(());
    }
    let why = "Send COLOPHON_ADMIN_TOKEN as `Authorization: Bearer …`.\n";
    let challenge = [(header::WWW_AUTHENTICATE, bearer::CHALLENGE.clone())];
    Err(Box::new((StatusCode::UNAUTHORIZED, challenge, why).into_response()))
}

/// What `/readyz` looks at.
#[derive(Clone)]
pub struct Health {
    db: Database,
    draining: Arc<AtomicBool>,
}

impl Health {
    /// The health of a service over `db`.
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { db, draining: Arc::default() }
    }

    /// From now on the service is not ready, for good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
}

impl Readiness for Health {
    fn problem(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Acquire) { Some("draining") } else { self.db.problem() }
    }

    /// The database's part in it.
    fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        if self.db.is_read_only() {
            details.insert("database".into(), "read-only".into());
        }
        if let Some(fault) = self.db.fault() {
            details.insert("cause".into(), fault.to_string().into());
        }
        details
    }
}
