//! OTLP by gRPC, for requests that are encoded already.

use std::{error::Error, time::Duration};

use ::http::uri::PathAndQuery;
use prost::bytes::{Buf, BufMut, Bytes};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_types::StatusExt;

use super::{
    Result, Signal,
    backoff::{Failure, Retry},
    headers,
};
use crate::{encoded::ExportRequest, options::OtlpOptions, text::error_chain};

/// How long a connection is idle before it is probed.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// A collector.
pub struct Collector {
    client: Grpc<Channel>,
    path: PathAndQuery,
    metadata: MetadataMap,
}

impl Collector {
    /// Connects when something is to be sent.
    pub fn new(otlp: &OtlpOptions, signal: Signal) -> Result<Self> {
        let mut client = Grpc::new(channel(otlp)?);
        if otlp.gzip {
            let gzip = CompressionEncoding::Gzip;
            client = client.send_compressed(gzip).accept_compressed(gzip);
        }
        let path = PathAndQuery::from_static(match signal {
            Signal::Spans => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Records => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        });
        Ok(Self { client, path, metadata: MetadataMap::from_headers(headers(otlp)) })
    }

    /// One attempt.
    pub async fn send(&self, message: ExportRequest) -> std::result::Result<Bytes, Failure> {
        let mut client = self.client.clone();
        client.ready().await.map_err(|error| Failure {
            reason: format!("gRPC client not ready: {}", error_chain(&error)),
            retry: Retry::Later,
        })?;
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        let answer = client.unary(request, self.path.clone(), BytesCodec).await;
        answer.map(tonic::Response::into_inner).map_err(|status| failure(&status))
    }
}

/// A channel to the collector, which connects when something is to be sent.
///
/// # Errors
/// If the endpoint or the certificates cannot be used.
pub fn channel(otlp: &OtlpOptions) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(otlp.endpoint.to_string())?.timeout(otlp.timeout);
    let mut endpoint = kept_alive(endpoint, otlp.timeout);
    if let Some(tls) = tls(otlp) {
        endpoint = endpoint.tls_config(tls)?;
    }
    Ok(endpoint.connect_lazy())
}

/// Has a connection that is dead noticed: an idle one by TCP, whose probes load balancers and NAT
/// count as activity, and one with an export under way by HTTP/2 in time for another attempt. Not
/// an idle one by HTTP/2: servers of gRPC end connections with pings more often than every five
/// minutes (github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md).
fn kept_alive(endpoint: Endpoint, timeout: Duration) -> Endpoint {
    endpoint
        .tcp_keepalive(Some(TCP_KEEPALIVE))
        .tcp_keepalive_interval(Some(TCP_KEEPALIVE / 3))
        .tcp_keepalive_retries(Some(3))
        .http2_keep_alive_interval(timeout / 2)
        .keep_alive_timeout(timeout / 4)
        .keep_alive_while_idle(false)
}

/// How to talk to the collector in secret, if so. `None` for plain text.
fn tls(otlp: &OtlpOptions) -> Option<ClientTlsConfig> {
    if otlp.endpoint.scheme() != "https" {
        return None;
    }
    let tls = match &otlp.tls.authority {
        Some(authority) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority)),
        None => ClientTlsConfig::new().with_enabled_roots(),
    };
    Some(match &otlp.tls.identity {
        Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
        None => tls,
    })
}

/// Without the collector's message, which may repeat a token.
fn failure(status: &Status) -> Failure {
    let mut reason = format!("gRPC code {:?}", status.code());
    if let Some(cause) = status.source() {
        reason = format!("{reason}: {}", error_chain(cause));
    }
    Failure { reason, retry: retry(status) }
}

/// As the protocol has it (opentelemetry.io/docs/specs/otlp/#failures). A status with a source is
/// not the collector's: the connection ended before there was one, as an idle one does that a load
/// balancer or NAT has forgotten, and nothing was acknowledged.
fn retry(status: &Status) -> Retry {
    if status.source().is_some() {
        return Retry::Later;
    }
    let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
    match (status.code(), asked) {
        (Code::ResourceExhausted, Some(delay)) => Retry::After(delay),
        (Code::Unavailable, Some(delay)) if !delay.is_zero() => Retry::After(delay),
        (
            Code::Unavailable
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::DataLoss,
            _,
        ) => Retry::Later,
        _ => Retry::Never,
    }
}

/// Messages that are encoded already, or not to be decoded yet.
#[derive(Clone, Copy)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = ExportRequest;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BytesCodec {
    type Item = ExportRequest;
    type Error = Status;

    fn encode(
        &mut self,
        item: ExportRequest,
        to: &mut EncodeBuf<'_>,
    ) -> std::result::Result<(), Status> {
        to.reserve(item.len());
        item.pieces().for_each(|piece| to.put_slice(piece));
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> std::result::Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn codes_tell_whether_to_try_again() {
        let asked = Duration::from_secs(5);
        let with = |code, delay| {
            let details = ErrorDetails::with_retry_info(Some(delay));
            retry(&Status::with_error_details(code, "busy", details))
        };
        assert_eq!(retry(&Status::unavailable("")), Retry::Later);
        assert_eq!(with(Code::Unavailable, asked), Retry::After(asked));
        assert_eq!(with(Code::Unavailable, Duration::ZERO), Retry::Later);
        assert_eq!(retry(&Status::resource_exhausted("")), Retry::Never);
        assert_eq!(with(Code::ResourceExhausted, asked), Retry::After(asked));
        assert_eq!(with(Code::InvalidArgument, asked), Retry::Never);
        assert_eq!(retry(&Status::unauthenticated("")), Retry::Never);
    }

    #[test]
    fn retries_after_connection_reset() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for code in [Code::Unknown, Code::Internal] {
            let mut status = Status::new(code, "transport error");
            assert_eq!(retry(&status), Retry::Never, "the collector's own");
            status.set_source(std::sync::Arc::new(std::io::Error::from(reset.kind())));
            assert_eq!(retry(&status), Retry::Later);
        }
    }

    #[test]
    fn what_the_collector_says_is_not_told() {
        let told = failure(&Status::permission_denied("not with Bearer opensesame")).reason;
        assert_eq!(told, "gRPC code PermissionDenied");
    }
}
