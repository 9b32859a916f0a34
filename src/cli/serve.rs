//! `colophon serve`

use std::{io, net::SocketAddr, panic::Location, process::ExitCode, time::Duration};

use graphql_telemetry::{Telemetry, runtime, settings::ExportSettings};
use runtime_insight::recorder::FlightRecorder;
use tracing::{error, info};

use crate::{
    app::{Service, TelemetryHandles},
    cli::{fail, telemetry_failed, usage_error},
    config::Settings,
    shutdown::Signals,
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
        return usage_error(missing);
    }
    let export = match ExportSettings::from_env() {
        Ok(export) => export.trusting_callers(settings.trust_caller_sampling),
        Err(error) => return usage_error(error),
    };
    let telemetry = super::telemetry(&settings, export)
        .log_format(settings.log_format)
        .trace_store(settings.trace_store())
        .console(settings.runtime.console.options());
    let telemetry = match telemetry.install() {
        Ok(telemetry) => telemetry,
        Err(error) => return telemetry_failed(error),
    };
    log_panics();
    let flush = settings.http.flush_timeout;
    let code = match in_runtime(settings, &telemetry) {
        Ok(code) => code,
        Err(error) => fail(error),
    };
    telemetry.shutdown(flush);
    code
}

fn in_runtime(settings: Settings, telemetry: &Telemetry) -> io::Result<ExitCode> {
    let options = &settings.runtime;
    let recorder = FlightRecorder::start(options.flight_recorder, options.recording_size)?;
    let runtime = if options.runtime_profiling {
        let builder = runtime::builder().slow_poll(options.slow_poll).recorder(&recorder);
        builder.source_root(env!("CARGO_MANIFEST_DIR")).build()?
    } else {
        // Neither tasks nor polls are measured, nor recorded.
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("worker").build()?
    };
    let traces = telemetry.trace_store();
    let observation = TelemetryHandles { scrape: telemetry.scrape(), recorder, traces };
    let code = runtime.block_on(serve(settings, observation));
    // A worker that is blocked for good must not keep the process.
    runtime.shutdown_timeout(SHUTDOWN_LIMIT);
    Ok(code)
}

async fn serve(settings: Settings, observation: TelemetryHandles) -> ExitCode {
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
            info!(name: "service.stopped", { drain.complete = drained }, "stopped");
            if drained { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => fail(error),
    }
}

/// Logs where the playground is, readable for people and machines.
fn announce(public: SocketAddr, admin: SocketAddr) {
    let playground = link(public);
    info!(
        name: "service.listening",
        { listen.public = %public, listen.admin = %admin, listen.playground = playground },
        "open {playground} in a browser"
    );
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
        let place = panic.location();
        error!(
            name: "panic",
            {
                code.file.path = place.map(Location::file),
                code.line.number = place.map(Location::line)
            },
            "{message}"
        );
    }));
}
