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

use tokio::runtime::Runtime;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    books::metrics,
    config::Settings,
    telemetry::{
        export::{LogOptions, Telemetry, TelemetryError, logs, settings::ExportSettings},
        names,
    },
};

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

/// Runs a command that works on the database and does not serve, with its telemetry if there is
/// somewhere to export it to.
pub fn work(settings: &Settings, command: impl Future<Output = ExitCode>) -> ExitCode {
    let export = match ExportSettings::from_env() {
        Ok(export) => export,
        Err(error) => return refuse(error),
    };
    if !export.exports() {
        log_warnings();
        return in_runtime(command);
    }
    names::add(metrics::METRICS);
    let options = LogOptions { format: None, filter: &settings.log, spans: &settings.trace_filter };
    let telemetry = match Telemetry::start(&export, &options, None) {
        Ok(telemetry) => telemetry,
        Err(TelemetryError::Otlp(error)) => return refuse(error),
        Err(error) => return fail(error),
    };
    let code = in_runtime(command);
    telemetry.stop(settings.http.flush_timeout);
    code
}

/// Runs a command on a runtime of its own.
pub fn in_runtime(command: impl Future<Output = ExitCode>) -> ExitCode {
    match Runtime::new() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => fail(error),
    }
}

/// Writes warnings to standard error.
fn log_warnings() {
    let filter = EnvFilter::new(logs::WARNINGS);
    tracing_subscriber::registry().with(logs::warnings().with_filter(filter)).init();
}

/// Prints a command's output. A reader that has had enough, such as `head`, is no failure.
#[must_use]
pub fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(error),
        _ => ExitCode::SUCCESS,
    }
}
