//! What speaks OTLP, by gRPC or HTTP, made from the settings of a signal.

mod backoff;
pub(crate) mod grpc;
mod http;

use std::time::Duration;

use ::http::{HeaderMap, header::USER_AGENT};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::{Resource, error::OTelSdkError};
use prost::Message;

use self::backoff::{Failure, retried};
use crate::{
    encoded::{EncodedBatch, RequestBuilder},
    options::{OtlpOptions, Protocol},
    queue::{BatchExporter, SendError},
};

/// The reason why a sender cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The settings contradict one another.
    #[error("cannot export metrics: {0}")]
    Build(#[from] ExporterBuildError),
    /// The certificates or the key cannot be used.
    #[error("cannot export telemetry by HTTP: {0}")]
    Client(#[from] reqwest::Error),
    /// The same.
    #[error("cannot export telemetry by gRPC: {0}")]
    Channel(#[from] tonic::transport::Error),
}

pub(crate) type Result<T> = std::result::Result<T, OtlpError>;

/// What the items of a batch are.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// Spans.
    Spans,
    /// Log records.
    Records,
}

/// Sends spans or log records.
pub struct Sender {
    collector: Collector,
    builder: RequestBuilder,
    timeout: Duration,
}

enum Collector {
    Grpc(grpc::Collector),
    Http(http::Collector),
}

impl Sender {
    /// A sender of the items of `resource`. It connects when there is something to send.
    ///
    /// # Errors
    /// If the settings cannot be used together.
    pub fn new(otlp: &OtlpOptions, signal: Signal, resource: &Resource) -> Result<Self> {
        let collector = match otlp.protocol {
            Protocol::Grpc => Collector::Grpc(grpc::Collector::new(otlp, signal)?),
            Protocol::Http => Collector::Http(http::Collector::new(otlp)?),
        };
        Ok(Self { collector, builder: RequestBuilder::new(resource), timeout: otlp.timeout })
    }
}

impl BatchExporter for Sender {
    type Batch = EncodedBatch;

    async fn send(&self, batch: &mut EncodedBatch) -> std::result::Result<(), SendError> {
        let message = self.builder.build(batch);
        let answer = match &self.collector {
            Collector::Grpc(collector) => {
                retried(self.timeout, || collector.send(message.clone())).await
            }
            Collector::Http(collector) => {
                let body = collector.body(&message);
                retried(self.timeout, || collector.send(body.clone())).await
            }
        };
        accepted(&answer?)
    }
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        Self::Failed(OTelSdkError::InternalFailure(failure.reason))
    }
}

/// `ExportTraceServiceResponse`, and `ExportLogsServiceResponse` as well.
#[derive(Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    reason: String,
}

/// A collector may have taken a part only. A response that cannot be decoded is no rejection.
fn accepted(answer: &[u8]) -> std::result::Result<(), SendError> {
    let partial = Answer::decode(answer).unwrap_or_default().partial.unwrap_or_default();
    match u64::try_from(partial.rejected) {
        Ok(items @ 1..) => Err(SendError::Rejected { items, reason: partial.reason }),
        _ => Ok(()),
    }
}

/// The headers of each request.
pub(crate) fn headers(otlp: &OtlpOptions) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, otlp.user_agent.clone());
    // As a map, so that it replaces what is there.
    headers.extend(otlp.headers.iter().cloned().collect::<HeaderMap>());
    headers
}

pub(crate) fn client(otlp: &OtlpOptions) -> Result<reqwest::Client> {
    // The first one stays; a second is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder()
        .timeout(otlp.timeout)
        .default_headers(headers(otlp))
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

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::{
        logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse},
        trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse},
    };

    use super::*;

    fn rejected(answer: &impl Message) -> Option<(u64, String)> {
        match accepted(&answer.encode_to_vec()) {
            Err(SendError::Rejected { items, reason }) => Some((items, reason)),
            _ => None,
        }
    }

    #[test]
    fn counts_items_that_a_collector_rejects() {
        let error_message = "no room".to_owned();
        let spans = ExportTracePartialSuccess { rejected_spans: 3, error_message };
        let spans = ExportTraceServiceResponse { partial_success: Some(spans) };
        assert_eq!(rejected(&spans), Some((3, "no room".to_owned())));
        let records = ExportLogsPartialSuccess { rejected_log_records: 4, ..Default::default() };
        let records = ExportLogsServiceResponse { partial_success: Some(records) };
        assert_eq!(rejected(&records), Some((4, String::new())));
        assert_eq!(rejected(&ExportTraceServiceResponse::default()), None);
        assert!(accepted(b"no answer at all").is_ok());
    }
}
