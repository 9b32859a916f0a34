//! `colophon serve`

use std::{io, net::SocketAddr, panic::Location, process::ExitCode, time::Duration};

use graphql_telemetry::{Telemetry, admin::Setting, runtime, settings::ExportSettings};
use runtime_insight::recorder::FlightRecorder;
use tracing::{error, info};

use crate::{
    admin,
    app::{Service, TelemetryHandles},
    cli::{fail, telemetry_failed, usage_error},
    config::{EffectiveSetting, Settings},
    shutdown::Signals,
};

/// How long tasks may take to be dropped at the end.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT. Telemetry is the first to start and the last to end, also when
/// serving failed. `effective` are the settings as the admin listener shows them.
#[must_use]
pub fn run(settings: Settings, effective: Vec<EffectiveSetting>) -> ExitCode {
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
    let code = match in_runtime(settings, &telemetry, admin::shown(effective)) {
        Ok(code) => code,
        Err(error) => fail(error),
    };
    telemetry.shutdown(flush);
    code
}

fn in_runtime(
    settings: Settings,
    telemetry: &Telemetry,
    effective: Vec<Setting>,
) -> io::Result<ExitCode> {
    let options = &settings.runtime;
    let recorder = FlightRecorder::start(options.flight_recorder, options.recording_size)?;
    let runtime = if options.runtime_profiling {
        let builder = runtime::builder().slow_poll(options.slow_poll).recorder(&recorder);
        builder.source_root(env!("CARGO_MANIFEST_DIR")).build()?
    } else {
        // Neither tasks nor polls are measured, nor recorded.
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("worker").build()?
    };
    let observation = TelemetryHandles {
        scrape: telemetry.scrape(),
        recorder,
        exports: telemetry.export_status(),
        settings: effective,
        traces: telemetry.trace_store(),
    };
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
    let offer = Offer::new(&settings);
    let service = match Service::build(settings, observation).await {
        Ok(service) => service,
        Err(error) => return fail(error),
    };
    match service.addresses() {
        Ok((public, admin)) => announce(public, admin, offer),
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

/// What the listeners have for browsers.
#[derive(Clone, Copy)]
struct Offer {
    playground: bool,
    admin_ui: bool,
}

impl Offer {
    fn new(settings: &Settings) -> Self {
        let playground = !settings.security.production;
        Self { playground, admin_ui: settings.serves_admin_ui() }
    }

    /// Says what is at each address.
    fn describe(self, public: &str, admin: &str) -> String {
        let public = if self.playground {
            format!("{public}: run a query and see its trace")
        } else {
            format!("{public}/graphql: the GraphQL API")
        };
        let admin = if self.admin_ui {
            format!("{admin}: what the process is doing")
        } else {
            format!("{admin}: metrics, health and debugging for tools; / lists the endpoints")
        };
        format!("{public}; {admin}")
    }
}

/// Logs what is where, readable for people and machines.
fn announce(public: SocketAddr, admin: SocketAddr, offer: Offer) {
    let playground = link(public);
    info!(
        name: "service.listening",
        { listen.public = %public, listen.admin = %admin, listen.playground = playground },
        "{}", offer.describe(&playground, &link(admin))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_what_is_served() {
        let describe = |playground, admin_ui| {
            Offer { playground, admin_ui }.describe("http://localhost:1", "http://localhost:2")
        };
        assert_eq!(
            describe(true, true),
            "http://localhost:1: run a query and see its trace; \
             http://localhost:2: what the process is doing"
        );
        let production = describe(false, false);
        assert!(production.starts_with("http://localhost:1/graphql: "), "{production}");
        assert!(production.contains("http://localhost:2: metrics"), "{production}");
    }
}
