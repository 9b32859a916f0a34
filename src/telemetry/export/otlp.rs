//! Exporters that speak OTLP, by gRPC or HTTP, made from the settings of a signal.

use opentelemetry_otlp::{
    Compression, ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig,
    tonic_types::transport::{Certificate, ClientTlsConfig, Identity},
};
use opentelemetry_sdk::metrics::Temporality;

use super::settings::{Otlp, Protocol};

/// Why an exporter cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The settings contradict one another.
    #[error("cannot export telemetry: {0}")]
    Build(#[from] ExporterBuildError),
    /// The certificates or the key cannot be used.
    #[error("cannot export telemetry by HTTP: {0}")]
    Client(#[from] reqwest::Error),
}

type Result<T> = std::result::Result<T, OtlpError>;

/// Sends spans.
///
/// # Errors
/// If the settings cannot be used together.
pub fn spans(otlp: &Otlp) -> Result<SpanExporter> {
    let builder = SpanExporter::builder();
    Ok(match otlp.protocol {
        Protocol::Grpc => grpc(builder.with_tonic(), otlp).build()?,
        Protocol::Http => http(builder.with_http(), otlp)?.build()?,
    })
}

/// Sends log records.
///
/// # Errors
/// If the settings cannot be used together.
pub fn logs(otlp: &Otlp) -> Result<LogExporter> {
    let builder = LogExporter::builder();
    Ok(match otlp.protocol {
        Protocol::Grpc => grpc(builder.with_tonic(), otlp).build()?,
        Protocol::Http => http(builder.with_http(), otlp)?.build()?,
    })
}

/// Sends metrics.
///
/// # Errors
/// If the settings cannot be used together.
pub fn metrics(otlp: &Otlp, temporality: Temporality) -> Result<MetricExporter> {
    let builder = MetricExporter::builder().with_temporality(temporality);
    Ok(match otlp.protocol {
        Protocol::Grpc => grpc(builder.with_tonic(), otlp).build()?,
        Protocol::Http => http(builder.with_http(), otlp)?.build()?,
    })
}

fn grpc<B: WithExportConfig + WithTonicConfig>(builder: B, otlp: &Otlp) -> B {
    let mut builder = builder.with_endpoint(otlp.endpoint.as_str()).with_timeout(otlp.timeout);
    if otlp.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    if otlp.endpoint.scheme() == "https" {
        let mut tls = ClientTlsConfig::new().with_enabled_roots();
        if let Some(authority) = &otlp.tls.authority {
            tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
        }
        if let Some((certificate, key)) = &otlp.tls.identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        builder = builder.with_tls_config(tls);
    }
    builder
}

fn http<B: WithExportConfig + WithHttpConfig>(builder: B, otlp: &Otlp) -> Result<B> {
    let mut builder = builder
        .with_endpoint(otlp.endpoint.as_str())
        .with_timeout(otlp.timeout)
        .with_http_client(client(otlp)?);
    if otlp.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    Ok(builder)
}

fn client(otlp: &Otlp) -> Result<reqwest::Client> {
    // The first one stays; a second is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder()
        .timeout(otlp.timeout)
        // The headers are for the collector, not for wherever it may point.
        .redirect(reqwest::redirect::Policy::none());
    if let Some(authority) = &otlp.tls.authority {
        client = client.tls_certs_only(reqwest::Certificate::from_pem_bundle(authority)?);
    }
    if let Some((certificate, key)) = &otlp.tls.identity {
        let both = [certificate.as_slice(), b"\n", key].concat();
        client = client.identity(reqwest::Identity::from_pem(&both)?);
    }
    Ok(client.build()?)
}
