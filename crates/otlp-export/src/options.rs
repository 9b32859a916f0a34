//! Where telemetry goes, and how much of it waits.

use std::{fmt, time::Duration};

use http::{HeaderName, HeaderValue};
use url::Url;

/// A collector and how to talk to it.
#[derive(Clone)]
pub struct OtlpOptions {
    /// gRPC or HTTP.
    pub protocol: Protocol,
    /// With the signal's path, if by HTTP.
    pub endpoint: Url,
    /// For one export with all its attempts.
    pub timeout: Duration,
    /// Whether to compress.
    pub gzip: bool,
    /// What sends: `User-Agent`, unless `headers` has one.
    pub user_agent: HeaderValue,
    /// What each request carries.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The PEM files to trust and to show.
    pub tls: Tls,
}

impl fmt::Debug for OtlpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Grpc => "grpc",
            Protocol::Http => "http/protobuf",
        };
        write!(f, "{protocol} to {}", self.endpoint.origin().ascii_serialization())
    }
}

impl OtlpOptions {
    /// A collector at the URL `endpoint`, which for HTTP has the signal's path, such as
    /// `http://localhost:4318/v1/traces`. Ten seconds for an export, neither compression nor headers.
    #[must_use]
    pub fn new(protocol: Protocol, endpoint: Url) -> Self {
        const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        Self {
            protocol,
            endpoint,
            timeout: Duration::from_secs(10),
            gzip: false,
            user_agent: HeaderValue::from_static(AGENT),
            headers: Vec::new(),
            tls: Tls::default(),
        }
    }
}

/// OTLP's transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`
    Grpc,
    /// `http/protobuf`
    Http,
}

/// PEM texts for TLS.
#[derive(Clone, Default)]
pub struct Tls {
    /// Who may have signed the collector's certificate; the system's trust store if nothing is
    /// said.
    pub authority: Option<Vec<u8>>,
    /// What the client shows: certificate and key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A batching queue. It holds more than the specification's by default (2048, and 5 s): a service
/// with thousands of requests a second fills that between two exports. The batch is the
/// specification's: a larger one keeps requests waiting while it is sent, which the 99th percentile
/// of a service showed.
#[derive(Clone, Copy, Debug)]
pub struct QueueOptions {
    /// Items that wait at most; those beyond are dropped and counted.
    pub capacity: usize,
    /// Bytes that wait at most.
    pub bytes: usize,
    /// Items of one export at most.
    pub batch: usize,
    /// Bytes of the items of one export at most; a larger item is dropped.
    pub batch_bytes: usize,
    /// How long an item waits for others at most.
    pub delay: Duration,
    /// How long one export may take.
    pub timeout: Duration,
}

impl Default for QueueOptions {
    /// 16,384 items or 32 MiB wait; 512 items or 4 MiB are one export, after a second at most, which may
    /// take 30 seconds.
    fn default() -> Self {
        Self {
            capacity: 16_384,
            bytes: 32 << 20,
            batch: 512,
            batch_bytes: 4 << 20,
            delay: Duration::from_secs(1),
            timeout: Duration::from_secs(30),
        }
    }
}
