//! Whether the database server is there. The keeper asks it on a connection of its own, so that
//! operations neither wait for a server that is frozen, gone or behind a network that swallows
//! everything, nor have to find out one by one.

use std::{io, sync::Arc, time::Duration};

use graphql_telemetry::sea_orm::{DatabaseFault, report_reachable};
use sea_orm::{DbErr, RuntimeErr, sqlx};
use tokio::time::{sleep, timeout};
use tracing::{Span, info, info_span, warn};

use crate::database::{
    Database,
    pool::{
        driver::ConnectOptions,
        postgres::{PostgresConnection, Server},
    },
};

/// How often to ask for a sign of life.
const INTERVAL: Duration = Duration::from_millis(200);

impl Database {
    /// Goes on asking the server for signs of life. A file is there.
    pub fn spawn_health_monitor(&self) {
        let ConnectOptions::Postgres(server) = self.0.target.clone() else {
            return report_reachable(true);
        };
        let server = server.named("colophon keeper");
        let keeper = HealthMonitor { server, limit: self.0.wait * 2 / 5, connection: None };
        runtime_insight::spawn("database keeper", keeper.keep(self.clone()));
    }
}

struct HealthMonitor {
    server: Server,
    /// How long the server may take for each of the two: a sign of life, a new connection. So
    /// whoever waits for it has a response within twice that and the interval: the pool wait.
    limit: Duration,
    connection: Option<PostgresConnection>,
}

/// What a probe at the server found.
enum Probe {
    /// As before.
    Up,
    /// Up, but our connection was not: others will have ended with it.
    Reconnected,
    /// Not there, and why.
    Down(DatabaseFault),
}

impl HealthMonitor {
    async fn keep(mut self, db: Database) {
        let mut outage: Option<Span> = None;
        loop {
            let probe_result = self.probe().await;
            let is_there = !matches!(probe_result, Probe::Down(_));
            if !matches!(probe_result, Probe::Up) {
                db.0.writer.renew();
            }
            if let Probe::Down(fault) = &probe_result {
                db.set_fault(Some(fault.clone()));
            }
            if let Probe::Down(error) = probe_result
                && outage.is_none()
            {
                let kind = error.error_type();
                outage = Some(info_span!(parent: None, "database outage", error.type = &*kind));
                let error = &error as &dyn std::error::Error;
                warn!(name: "database.unreachable", { exception.message = error }, "database unreachable; rejecting operations");
            }
            if is_there && outage.take().is_some() {
                db.set_fault(None);
                info!(name: "database.reached", "the database answers");
            }
            report_reachable(is_there);
            db.0.reachable.send_if_modified(|state| std::mem::replace(state, is_there) != is_there);
            sleep(INTERVAL).await;
        }
    }

    async fn probe(&mut self) -> Probe {
        if let Some(mut connection) = self.connection.take()
            && let Ok(true) = timeout(self.limit, connection.ping()).await
        {
            self.connection = Some(connection);
            return Probe::Up;
        }
        match timeout(self.limit, self.server.connect()).await {
            Ok(Ok(connection)) => {
                self.connection = Some(connection);
                Probe::Reconnected
            }
            // It answers, if only that it takes no more connections; those that there are work.
            Ok(Err(sqlx::Error::Database(error))) if error.code().as_deref() == Some(FULL) => {
                Probe::Up
            }
            Ok(Err(error)) => gone(error),
            Err(_) => gone(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
        }
    }
}

fn gone(error: sqlx::Error) -> Probe {
    let error = DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)));
    Probe::Down(DatabaseFault::from(&error))
}

/// SQLSTATE too_many_connections.
const FULL: &str = "53300";
