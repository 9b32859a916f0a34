//! `colophon serve`

use std::{net::SocketAddr, process::ExitCode};

use tracing::{error, info};

use super::fail;
use crate::{config::Settings, service::Service, shutdown::Signals, telemetry};

/// Serves until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> ExitCode {
    let filter = match settings.log.parse() {
        Ok(filter) => filter,
        Err(error) => return fail(error),
    };
    if let Err(error) = telemetry::logs::init(settings.log_format, filter) {
        return fail(error);
    }
    log_panics();
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fail(error),
    };
    let service = match Service::build(settings).await {
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
