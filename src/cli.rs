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

use graphql_telemetry::{Builder, Telemetry, TelemetryError, logs, settings::ExportSettings};
use tokio::runtime::Runtime;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{catalog::metrics, config::Settings};

/// The settings cannot be used.
pub const BAD_SETTINGS: u8 = 2;
/// Something went wrong that is not the command line's fault.
pub const FAILURE: u8 = 1;
/// What commands that do not serve log to standard error.
const WARNINGS: &str = "migration=warn,colophon=warn";
/// Some rows of an import were rejected.
pub const SOME_REFUSED: u8 = 3;

/// Says on standard error why a command failed.
pub fn fail(reason: impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(FAILURE)
}

/// Says on standard error why the settings cannot be used.
pub fn usage_error(reason: impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(BAD_SETTINGS)
}

/// Runs a command that works on the database and does not serve, with its telemetry if there is
/// somewhere to export it to.
pub fn work(settings: &Settings, command: impl Future<Output = ExitCode>) -> ExitCode {
    let export = match ExportSettings::from_env() {
        Ok(export) => export,
        Err(error) => return usage_error(error),
    };
    if !export.exports() {
        log_warnings();
        return in_runtime(command);
    }
    let telemetry = match telemetry(settings, export).log_warnings_to_stderr(WARNINGS).install() {
        Ok(telemetry) => telemetry,
        Err(error) => return telemetry_failed(error),
    };
    let code = in_runtime(command);
    telemetry.shutdown(settings.http.flush_timeout);
    code
}

/// The telemetry of this program, to be installed.
fn telemetry(settings: &Settings, export: ExportSettings) -> Builder {
    Telemetry::builder(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .export(export)
        .metrics(metrics::METRICS)
        .log_filter(&settings.log)
        .span_filter(settings.trace_filter.clone())
}

fn telemetry_failed(error: TelemetryError) -> ExitCode {
    if let TelemetryError::Otlp(error) = error { usage_error(error) } else { fail(error) }
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
    let filter = EnvFilter::new(WARNINGS);
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
