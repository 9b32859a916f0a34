//! What became of the telemetry so far, while the process runs.

use std::{sync::Arc, time::Instant};

use opentelemetry::Key;
use opentelemetry_sdk::Resource;
use opentelemetry_semantic_conventions::attribute as attr;
use otlp_export::{ExportStats, Protocol};
use serde::Serialize;

use crate::settings::Exporter;

/// What is produced, exported and lost of a process's telemetry, and where it goes. Clones share it.
#[derive(Clone, Debug)]
pub struct ExportStatus(Arc<State>);

#[derive(Debug)]
struct State {
    name: String,
    version: String,
    instance: String,
    installed: Instant,
    signals: Vec<SignalState>,
    is_scraped: bool,
}

/// A signal, and what counts its items.
#[derive(Debug)]
pub(crate) struct SignalState {
    /// `traces`, `metrics` or `logs`.
    pub signal: &'static str,
    /// Where it goes, without paths and passwords.
    pub destination: String,
    /// What became of its items.
    pub stats: Arc<ExportStats>,
}

/// The service, by its resource attributes.
#[derive(Debug, Serialize)]
pub(crate) struct ServiceStatus<'a> {
    name: &'a str,
    version: &'a str,
    instance: &'a str,
    /// Seconds since telemetry was installed.
    uptime: f64,
}

/// What became of the items of a signal.
#[derive(Debug, Serialize)]
pub(crate) struct SignalStatus<'a> {
    signal: &'static str,
    destination: &'a str,
    produced: u64,
    exported: u64,
    lost: u64,
    queued: u64,
}

impl SignalState {
    /// Makes the state of a signal that goes to `exporter`.
    pub fn new(signal: &'static str, exporter: &Exporter, stats: &Arc<ExportStats>) -> Self {
        Self { signal, destination: destination(exporter), stats: stats.clone() }
    }

    fn status(&self) -> SignalStatus<'_> {
        let Self { signal, destination, stats } = self;
        SignalStatus {
            signal,
            destination,
            produced: stats.produced(),
            exported: stats.exported(),
            lost: stats.lost(),
            queued: stats.queued(),
        }
    }
}

/// Names what a signal goes to. Without the path, which has the token of some vendors.
fn destination(exporter: &Exporter) -> String {
    let otlp = match exporter {
        Exporter::None => return "none".to_owned(),
        Exporter::Console => return "console".to_owned(),
        Exporter::Otlp(otlp) => otlp,
    };
    let protocol = match otlp.protocol {
        Protocol::Grpc => "grpc",
        Protocol::Http => "http/protobuf",
    };
    format!("{protocol} {}", otlp.endpoint.origin().ascii_serialization())
}

impl ExportStatus {
    pub(crate) fn new(resource: &Resource, signals: Vec<SignalState>, is_scraped: bool) -> Self {
        let attribute = |name: &'static str| {
            let value = resource.get(&Key::from_static_str(name));
            value.map(|value| value.to_string()).unwrap_or_default()
        };
        Self(Arc::new(State {
            name: attribute(attr::SERVICE_NAME),
            version: attribute(attr::SERVICE_VERSION),
            instance: attribute(attr::SERVICE_INSTANCE_ID),
            installed: Instant::now(),
            signals,
            is_scraped,
        }))
    }

    pub(crate) fn service(&self) -> ServiceStatus<'_> {
        let State { name, version, instance, installed, .. } = &*self.0;
        ServiceStatus { name, version, instance, uptime: installed.elapsed().as_secs_f64() }
    }

    pub(crate) fn signals(&self) -> Vec<SignalStatus<'_>> {
        self.0.signals.iter().map(SignalState::status).collect()
    }

    /// Whether metrics can be scraped.
    pub(crate) fn is_scraped(&self) -> bool {
        self.0.is_scraped
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::OtlpOptions;

    #[test]
    fn names_destinations_without_secrets() {
        let otlp = |protocol, url: &str| {
            Exporter::Otlp(Box::new(OtlpOptions::new(protocol, url.parse().unwrap())))
        };
        let http = otlp(Protocol::Http, "https://ada:s3cret@otlp.example/s3cret/v1/traces");
        assert_eq!(destination(&http), "http/protobuf https://otlp.example");
        let grpc = otlp(Protocol::Grpc, "http://localhost:4317");
        assert_eq!(destination(&grpc), "grpc http://localhost:4317");
        assert_eq!(destination(&Exporter::None), "none");
    }

    #[test]
    fn counts_what_is_queued() {
        let counts = Arc::<ExportStats>::default();
        let signal = SignalState::new("traces", &Exporter::Console, &counts);
        let status = ExportStatus::new(&Resource::builder_empty().build(), vec![signal], true);
        counts.count_produced(10);
        counts.count_exported(6);
        counts.count_lost(1);
        assert_eq!(
            json!(status.signals()),
            json!([{ "signal": "traces", "destination": "console", "produced": 10, "exported": 6,
                "lost": 1, "queued": 3 }])
        );
    }
}
