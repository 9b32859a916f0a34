//! `colophon serve`

use std::{io, net::SocketAddr, process::ExitCode, time::Duration};

use runtime_insight::recorder::FlightRecorder;
use tracing::{error, info};

use super::{fail, refuse};
use crate::{
    books::metrics,
    config::Settings,
    service::{Observation, Service},
    shutdown::Signals,
    telemetry::{
        export::{LogOptions, Telemetry, TelemetryError, scrape::Scrape, settings::ExportSettings},
        names, runtime,
    },
};

/// How long tasks may take to be dropped at the end.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT. Telemetry is the first to start and the last to end, also when
/// serving failed.
#[must_use]
pub fn run(settings: Settings) -> ExitCode {
    if settings.runtime.lab && !settings.http.listen.ip().is_loopback() {
        return fail("--lab (or COLOPHON_LAB) is for loopback only, which --listen is not");
    }
    if let Err(missing) = settings.security.check(&settings.http) {
        return refuse(missing);
    }
    let export = match ExportSettings::from_env() {
        Ok(export) => export.trusting_callers(settings.trust_caller_sampling),
        Err(error) => return refuse(error),
    };
    names::add(metrics::METRICS);
    let options = LogOptions {
        format: Some(settings.log_format),
        filter: &settings.log,
        spans: &settings.trace_filter,
    };
    let console = settings.runtime.console.options();
    let telemetry = match Telemetry::start(&export, &options, console.as_ref()) {
        Ok(telemetry) => telemetry,
        Err(TelemetryError::Otlp(error)) => return refuse(error),
        Err(error) => return fail(error),
    };
    log_panics();
    let flush = settings.http.flush_timeout;
    let code = match in_runtime(settings, telemetry.scrape(), export.propagate) {
        Ok(code) => code,
        Err(error) => fail(error),
    };
    telemetry.stop(flush);
    code
}

fn in_runtime(settings: Settings, scrape: Option<Scrape>, propagate: bool) -> io::Result<ExitCode> {
    let options = &settings.runtime;
    let recorder = FlightRecorder::start(options.flight_recorder, options.recording_size)?;
    let slow_poll = options.runtime_profiling.then_some(options.slow_poll);
    let runtime = runtime::build(&recorder, slow_poll)?;
    let observation = Observation { scrape, propagate, recorder };
    let code = runtime.block_on(serve(settings, observation));
    // A worker that is blocked for good must not keep the process.
    runtime.shutdown_timeout(SHUTDOWN_LIMIT);
    Ok(code)
}

async fn serve(settings: Settings, observation: Observation) -> ExitCode {
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fail(error),
    };
    let service = match Service::build(settings, observation).await {
        Ok(service) => service,
        Err(error) => return fail(error),
    };
    match service.addresses() {
        Ok((public, admin)) => announce(public, admin),
        Err(error) => return fail(error),
    }
    match service.run(signals).await {
        Ok(drained) => {
            info!(name: "service.stopped", drained, "stopped");
            if drained { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => fail(error),
    }
}

/// Tells a person where to click, and a machine the same.
fn announce(public: SocketAddr, admin: SocketAddr) {
    let playground = link(public);
    info!(name: "service.listening", %public, %admin, playground, "open {playground} in a browser");
}

/// The address as a browser on this machine reaches it.
fn link(address: SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("http://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// Panics go to the log with their place, like any other failure, and to nobody else.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("a panic with no message");
        let place = panic.location().map(ToString::to_string);
        error!(name: "panic", { code.location = place }, "{message}");
    }));
}
