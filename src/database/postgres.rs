//! A server.

use std::time::Duration;

use sea_orm::{
    SqlxPostgresConnector,
    sqlx::{
        ConnectOptions, Connection, PgConnection,
        postgres::{PgConnectOptions, PgPoolOptions},
    },
};

use crate::{config::database::DatabaseSettings, telemetry::database::Connections};

/// How often the server looks whether the client of a running statement is still there, in
/// milliseconds: one that nobody waits for any more is ended by then.
const CLIENT_CHECK: &str = "500";
/// A connection that has been idle for longer is tested before use: testing each time would
/// cost a round trip a statement.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(30);

/// How to connect.
pub fn options(settings: &DatabaseSettings) -> PgConnectOptions {
    let url = settings.database_url.as_str();
    let options: PgConnectOptions = url.parse().expect("checked with the settings");
    let limit = settings.limits.statement_timeout.as_millis().to_string();
    options.disable_statement_logging().application_name("colophon").options([
        ("statement_timeout", limit.as_str()),
        // Also what ends a transaction whose client is gone.
        ("idle_in_transaction_session_timeout", &limit),
        ("client_connection_check_interval", CLIENT_CHECK),
    ])
}

/// Connections that are opened, within `wait`, when they are used.
pub fn connections(options: PgConnectOptions, wait: Duration) -> Connections {
    Connections::Server(Box::new(move || {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(wait)
            // Both would take a task for each connection.
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .before_acquire(|connection: &mut PgConnection, state| {
                Box::pin(async move {
                    if state.idle_for > TEST_AFTER_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options.clone());
        SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
    }))
}
