//! A file: many readers and one writer.

use std::time::{Duration, Instant};

use sea_orm::{
    DbBackend, DbErr, RuntimeErr, Statement,
    sqlx::{
        ConnectOptions as _,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};

use super::pool::driver::{ConnectOptions, Connection, FetchOptional, Query};

/// How long a writer waits for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before trying again to open a locked file.
const RETRY: Duration = Duration::from_millis(20);

/// Bytes of a file that is looked through at the start: of more than that, it would take seconds.
const CHECKED: u64 = 256 * 1024 * 1024;

/// How to connect, for writing or for reading only.
pub fn options(options: &SqliteConnectOptions, writes: bool) -> SqliteConnectOptions {
    let options = options.clone().foreign_keys(true).busy_timeout(BUSY_TIMEOUT);
    let options = options.disable_statement_logging();
    if writes {
        options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal)
    } else {
        options.pragma("query_only", "on")
    }
}

/// A first connection. One that writes looks whether the file is sound.
///
/// # Errors
/// If the file cannot be opened or created, is no database, or is damaged.
pub async fn open(options: SqliteConnectOptions, writes: bool) -> Result<Connection, DbErr> {
    let size = std::fs::metadata(options.get_filename()).map_or(0, |file| file.len());
    let mut connection = connect(&ConnectOptions::Sqlite(options)).await.map_err(explain)?;
    if writes && size <= CHECKED {
        check(&mut connection).await?;
    }
    Ok(connection)
}

/// SQLite says no more of a folder that cannot be written than that it cannot open the file.
fn explain(error: DbErr) -> DbErr {
    match code(&error) {
        Some(READONLY | CANTOPEN) => DbErr::Custom(format!(
            "the file or its folder is missing or read-only, and the write-ahead log stands beside it: {error}"
        )),
        _ => error,
    }
}

/// Looks whether the pages of the file hang together.
async fn check(connection: &mut Connection) -> Result<(), DbErr> {
    let look = Statement::from_string(DbBackend::Sqlite, "PRAGMA quick_check(1)");
    let found: Option<String> = match FetchOptional(look).run(connection).await? {
        Some(row) => Some(row.try_get_by_index(0)?),
        None => None,
    };
    match found.as_deref() {
        Some("ok") => Ok(()),
        found => {
            Err(DbErr::Custom(format!("the file is damaged: {}", found.unwrap_or("unreadable"))))
        }
    }
}

/// Connects, trying again while the file is locked: SQLite does not wait by itself for the lock
/// that turns a new file into one with a write-ahead log, which processes that start together
/// contend for.
async fn connect(target: &ConnectOptions) -> Result<Connection, DbErr> {
    let started = Instant::now();
    loop {
        match target.connect().await {
            Err(error) if code(&error) == Some(BUSY) && started.elapsed() < BUSY_TIMEOUT => {
                tokio::time::sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

/// Result codes (<https://sqlite.org/rescode.html>).
const BUSY: u32 = 5;
const READONLY: u32 = 8;
const CANTOPEN: u32 = 14;

/// The result code of a failure to connect: the low byte of the extended one.
fn code(error: &DbErr) -> Option<u32> {
    let DbErr::Conn(RuntimeErr::SqlxError(error)) = error else { return None };
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
