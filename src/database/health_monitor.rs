//! Probes the PostgreSQL server on a connection of its own, so that operations neither wait for a server that is
//! frozen, gone or behind a network that drops packets, nor have to find out one by one.

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

/// The time between two probes.
const INTERVAL: Duration = Duration::from_millis(200);

impl Database {
    /// Spawns the task that probes the server. An SQLite file is always reachable.
    pub fn spawn_health_monitor(&self) {
        let ConnectOptions::Postgres(server) = self.0.target.clone() else {
            return report_reachable(true);
        };
        let server = server.named("colophon keeper");
        let monitor = HealthMonitor { server, limit: self.0.wait * 2 / 5, connection: None };
        runtime_insight::spawn("database keeper", monitor.run(self.clone()));
    }
}

struct HealthMonitor {
    server: Server,
    /// Time limit of a probe, and of a new connection. An operation that waits learns of an outage within
    /// twice that and the interval, which is the pool wait.
    limit: Duration,
    connection: Option<PostgresConnection>,
}

/// The result of a probe.
enum Probe {
    /// Reachable, as before.
    Up,
    /// Up, but the monitor's connection was lost: others will have been, too.
    Reconnected,
    /// Not reachable, and why.
    Down(DatabaseFault),
}

impl HealthMonitor {
    async fn run(mut self, db: Database) {
        let mut outage: Option<Span> = None;
        loop {
            let probe_result = self.probe().await;
            let is_up = !matches!(probe_result, Probe::Down(_));
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
            if is_up && outage.take().is_some() {
                db.set_fault(None);
                info!(name: "database.reached", "the database answers");
            }
            report_reachable(is_up);
            db.0.reachable.send_if_modified(|state| std::mem::replace(state, is_up) != is_up);
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
