//! Metrics by opentelemetry-otlp.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use opentelemetry_otlp::{
    Compression, MetricExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};
use tokio::{runtime::Handle, time::timeout};
use tonic::metadata::MetadataMap;

use crate::{
    options::{OtlpOptions, Protocol},
    runtime::OnRuntime,
    sender::{Result, client, grpc, headers},
};

/// Sends metrics. The SDK's reader polls it on a thread of its own; its timers and sockets are in
/// the exporters' runtime.
pub struct MetricSender {
    exporter: MetricExporter,
    timeout: Duration,
    runtime: Handle,
}

impl MetricSender {
    /// Sends to `otlp`, within `timeout` for an export with all its attempts. Its sockets are in
    /// `runtime`, such as that of [`ExportRuntime`](crate::ExportRuntime).
    ///
    /// # Errors
    /// If the settings cannot be used together.
    pub fn new(
        otlp: &OtlpOptions,
        temporality: Temporality,
        timeout: Duration,
        runtime: Handle,
    ) -> Result<Self> {
        let exporter = match otlp.protocol {
            Protocol::Grpc => by_grpc(otlp, temporality)?,
            Protocol::Http => by_http(otlp, temporality)?,
        };
        Ok(Self { exporter, timeout, runtime })
    }

    async fn send(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        match self.exporter.export(metrics).await {
            Err(error) if was_cut_off(&error) => self.exporter.export(metrics).await,
            result => result,
        }
    }
}

impl PushMetricExporter for MetricSender {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let within = async { timeout(self.timeout, self.send(metrics)).await };
        // The reader's thread would end with a panic, and with it all export of metrics.
        let supervised = AssertUnwindSafe(within).catch_unwind();
        match OnRuntime::new(self.runtime.clone(), supervised).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(OTelSdkError::Timeout(self.timeout)),
            Err(_) => Err(OTelSdkError::InternalFailure("the exporter panicked".to_owned())),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

fn by_grpc(otlp: &OtlpOptions, temporality: Temporality) -> Result<MetricExporter> {
    let builder = MetricExporter::builder().with_temporality(temporality).with_tonic();
    let mut builder = builder
        .with_channel(grpc::channel(otlp)?)
        .with_timeout(otlp.timeout)
        .with_metadata(MetadataMap::from_headers(headers(otlp)));
    if otlp.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    Ok(builder.build()?)
}

fn by_http(otlp: &OtlpOptions, temporality: Temporality) -> Result<MetricExporter> {
    let builder = MetricExporter::builder().with_temporality(temporality).with_http();
    let mut builder = builder
        .with_endpoint(otlp.endpoint.as_str())
        .with_timeout(otlp.timeout)
        .with_http_client(client(otlp)?);
    if otlp.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    Ok(builder.build()?)
}

/// Whether a connection ended before there was a response, as an idle one does that a load balancer
/// or NAT has forgotten. The library takes tonic's codes for it as the collector's own, and does not
/// try again; what it adds to them, the cause, a collector's code does not have.
fn was_cut_off(error: &OTelSdkError) -> bool {
    let text = error.to_string();
    ["gRPC code: Unknown: ", "gRPC code: Internal: "].iter().any(|code| text.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_cut_off_is_sent_again() {
        let is_sent_again = |text: &str| {
            let text = format!("TonicMetricsClient export failed with {text}");
            was_cut_off(&OTelSdkError::InternalFailure(text))
        };
        assert!(is_sent_again("gRPC code: Unknown: transport error: connection reset"));
        assert!(is_sent_again("gRPC code: Internal: h2 protocol error"));
        for own in ["Unknown", "Internal", "InvalidArgument", "Unauthenticated"] {
            assert!(!is_sent_again(&format!("gRPC code: {own}")), "the collector's own: {own}");
        }
    }
}
