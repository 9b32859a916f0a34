//! How a collector is run, and what a service is given to export to it.

use std::{net::TcpListener, path::PathBuf};

use crate::{Db, Service, repository};

use super::Collector;

/// How a collector is to run.
#[derive(Default)]
pub struct Options<'a> {
    /// The repository's layers on `config.yaml`, such as `grafana`.
    pub layers: &'a [&'a str],
    /// Variables that the configuration reads.
    pub variables: &'a [(&'a str, &'a str)],
    /// Configuration to merge with that of the repository.
    pub overlay: Option<&'a str>,
    /// The port for OTLP over HTTP, for one that comes back; the kernel chooses if there is none.
    pub http_port: Option<u16>,
    /// Where to scrape metrics.
    pub scrape: Option<&'a str>,
}

/// The arguments for the repository's configuration with these layers.
pub fn configuration(layers: &[&str]) -> Vec<String> {
    let files = ["config"].iter().chain(layers);
    let path = |name| repository().join(format!("collector/{name}.yaml")).display().to_string();
    files.flat_map(|name| ["--config".to_owned(), path(name)]).collect()
}

/// A port that was free a moment ago, for what cannot tell which one the kernel chose.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The program, as `scripts/collector` finds or builds it.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("COLOPHON_TEST_COLLECTOR") {
        return path.into();
    }
    let built = repository().join("target/collector/otelcol-colophon");
    assert!(built.exists(), "there is no collector: run `make collector` or `make test`");
    built
}

/// What a service needs to tell everything to a collector at `endpoint` without delay.
pub fn prompt(endpoint: &str) -> Vec<(&str, &str)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "50"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "300"),
    ]
}

/// A service that tells a collector everything without delay.
pub async fn observed(db: &Db, collector: &Collector) -> Service {
    db.serve_in(&prompt(&collector.http)).await
}
