//! The commands of the command line, one file each. Their output is data for people and scripts;
//! log lines come only from serving and, as warnings on standard error, from migrations.

pub mod config;
pub mod health;
pub mod import;
pub mod migrate;
pub mod schema;
pub mod serve;
pub mod token;

use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};

use tracing_subscriber::EnvFilter;

/// The settings cannot be used.
pub const BAD_SETTINGS: u8 = 2;
/// Something went wrong that is not the command line's fault.
pub const FAILURE: u8 = 1;
/// Some rows of an import were refused.
pub const SOME_REFUSED: u8 = 3;

/// Says on standard error why a command failed.
pub fn fail(reason: impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(FAILURE)
}

/// Says on standard error why the settings cannot be used.
pub fn refuse(reason: impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(BAD_SETTINGS)
}

/// Writes the warnings of migrations to standard error, for commands that do not serve.
pub fn log_migrations() {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("migration=warn"))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time();
    // Fails where a subscriber is installed already, which then has the warnings.
    let _ = lines.try_init();
}

/// Prints a command's output. A reader that has had enough, such as `head`, is no failure.
#[must_use]
pub fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(error),
        _ => ExitCode::SUCCESS,
    }
}
