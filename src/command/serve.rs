//! `colophon serve`

use std::{net::SocketAddr, process::ExitCode};

use tokio::task::block_in_place;
use tracing::{error, info};

use super::fail;
use crate::{
    books::metrics,
    config::Settings,
    service::{Observation, Service},
    shutdown::Signals,
    telemetry::{
        export::{Telemetry, settings::ExportSettings},
        names,
    },
};

/// Serves until SIGTERM or SIGINT. Telemetry is the first to start and the last to end, also when
/// serving failed.
pub async fn run(settings: Settings) -> ExitCode {
    let export = match ExportSettings::from_env() {
        Ok(export) => export,
        Err(error) => return fail(error),
    };
    names::add(metrics::METRICS);
    let telemetry = match Telemetry::start(&export, settings.log_format, &settings.log) {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(error),
    };
    log_panics();
    let flush = settings.http.flush_timeout;
    let observation = Observation { scrape: telemetry.scrape(), propagate: export.propagate };
    let code = serve(settings, observation).await;
    block_in_place(|| telemetry.stop(flush));
    code
}

async fn serve(settings: Settings, observation: Observation) -> ExitCode {
    let mut signals = match Signals::listen() {
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
    let drained = service.run(signals.wait()).await;
    info!(name: "service.stopped", drained, "stopped");
    if drained { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
