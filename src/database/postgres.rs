//! A server.

use sea_orm::{
    ConnectionTrait, DbErr, Statement,
    sqlx::{ConnectOptions, postgres::PgConnectOptions},
};

use super::pool::postgres::{PoolerMode, Server};
use crate::config::database::DatabaseSettings;

/// How often the server looks whether the client of a running statement is still there, in
/// milliseconds: one that nobody waits for any more is ended by then.
const CLIENT_CHECK: &str = "500";

/// How to connect.
pub fn server(
    settings: &DatabaseSettings,
    options: PgConnectOptions,
    pooler: PoolerMode,
) -> Server {
    let options = options.disable_statement_logging().application_name("colophon");
    let limit = settings.limits.statement_timeout.as_millis().to_string();
    let in_force = [
        ("statement_timeout", limit.as_str()),
        // Also what ends a transaction whose client is gone.
        ("idle_in_transaction_session_timeout", &limit),
        ("client_connection_check_interval", CLIENT_CHECK),
    ];
    Server::new(options, &in_force, pooler)
}

/// Whether the role may write books, in sessions such as this one.
///
/// # Errors
/// If the server cannot be queried.
pub async fn is_writable<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    const WRITABLE: &str = "SELECT current_setting('transaction_read_only') = 'off' \
         AND has_table_privilege('book', 'INSERT')";
    let query = Statement::from_string(db.get_database_backend(), WRITABLE);
    let row = db.query_one_raw(query).await?;
    row.map_or(Ok(false), |row| row.try_get_by_index(0))
}
