//! HTTP: the server span, the context that comes in and goes out, the metrics, and one access
//! line for each request.

pub mod connections;
mod layer;
mod span;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::Request,
    http::{HeaderName, uri::Authority},
    response::Response,
};
use opentelemetry::trace::FutureExt;

pub use self::layer::{ResponseFuture, TelemetryLayer, TelemetryService};
use self::span::RequestSpan;
use crate::graphql::ErrorCode;

/// The header of a response that names its trace (w3.org/TR/trace-context-2, in its draft with the response
/// header).
pub const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The other end of a connection. An accept loop puts it into each request, unless it is axum's with
/// [`ConnectInfo`](axum::extract::ConnectInfo).
#[derive(Clone, Debug)]
pub struct Peer {
    address: Arc<str>,
    port: u16,
}

impl From<SocketAddr> for Peer {
    fn from(socket: SocketAddr) -> Self {
        Self { address: socket.ip().to_string().into(), port: socket.port() }
    }
}

/// What the outermost trusted proxy saw of a request; a layer further out puts it into the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The client: the nearest address that is no trusted proxy's.
    pub client: Option<IpAddr>,
    /// `http` or `https`.
    pub scheme: Option<&'static str>,
    /// The host that the client asked, perhaps with a port.
    pub host: Option<Authority>,
}

/// The code of the error that a response is about; the handler puts it into the response.
#[derive(Clone, Copy, Debug)]
pub struct Failure(pub ErrorCode);

/// Traces, measures and logs a request that `handle` responds to: what [`TelemetryLayer`] does, for a
/// service that does more in the same layer.
pub async fn instrument<F: Future<Output = Response>>(
    request: Request,
    handle: impl FnOnce(Request) -> F,
) -> Response {
    let span = RequestSpan::start(&request);
    let context = span.context().clone();
    let work = async move {
        let mut response = handle(request).await;
        span.on_response(&mut response);
        response
    };
    work.with_context(context).await
}
