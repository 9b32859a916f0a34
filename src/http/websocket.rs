//! GraphQL over WebSocket, by the protocol `graphql-transport-ws` (PROTOCOL.md of graphql-ws):
//! the upgrade, and the task that a socket is.
//!
//! A session is one task, which reads, runs operations and writes in turn: what a client does not
//! take keeps the session from reading, and TCP keeps the client from sending.

pub mod close;
mod following;
mod message;
mod operation;
mod session;
mod transport;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};
use graphql_telemetry::{
    http::Forwarded,
    websocket::{ConnectionContext, Open},
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::server::create_response_with_body,
        protocol::{Role, WebSocketConfig},
    },
};
use tracing::debug;

use crate::{
    error::{Code, Error},
    http::{
        AppState,
        graphql::error_response,
        negotiate::MediaType,
        server::Connection,
        websocket::{close::Reason, session::Session, transport::Transport},
    },
};

/// The protocol that is spoken on the socket.
const PROTOCOL: &str = "graphql-transport-ws";

/// Bytes that are read, and that are collected to be written, at a time. The library's own, 128 kB
/// that each socket would have from the start, are for few sockets.
const BUFFER: usize = 4096;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Who asked for a socket.
struct Caller {
    public: Arc<AppState>,
    connection: Connection,
    /// Of the request.
    headers: HeaderMap,
    context: ConnectionContext,
}

/// Whether a request asks for a WebSocket. The header means nothing on other methods.
#[must_use]
pub fn is_asked_for(request: &Request) -> bool {
    let upgrade = request.headers().get(header::UPGRADE);
    request.method() == Method::GET
        && upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers a request for a WebSocket, and serves the socket in a task of its own.
#[must_use]
pub fn accept(public: &Arc<AppState>, mut request: Request) -> Response {
    let forwarded = request.extensions().get::<Forwarded>();
    if !public.origins.allows(request.headers(), forwarded) {
        let message = "This origin is not allowed to open a WebSocket.";
        return error_response(MediaType::Json, Error::Client(Code::Forbidden, message.into()));
    }
    let Some(connection) = request.extensions().get::<Connection>().cloned() else {
        let error = Error::Internal("a request came without its connection".into());
        return error_response(MediaType::Json, error);
    };
    let Ok(mut response) = create_response_with_body(&request, Body::empty) else {
        return reject_handshake();
    };
    let is_known = offers_protocol(request.headers());
    if is_known {
        let protocol = HeaderValue::from_static(PROTOCOL);
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let context = ConnectionContext::of_upgrade(connection.peer, connection.client);
    let headers = std::mem::take(request.headers_mut());
    let caller = Caller { public: public.clone(), connection, headers, context };
    // A drain waits for it, since it has its connection from here on.
    runtime_insight::spawn("websocket", serve(upgrade, caller, is_known));
    response
}

async fn serve(upgrade: OnUpgrade, caller: Caller, is_known: bool) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            debug!(name: "websocket.upgrade_failed", { exception.message = %error }, "client disconnected during the upgrade");
            return;
        }
    };
    // Its place among the connections is kept to the very end.
    let connection = caller.connection.clone();
    let limits = &caller.public.limits;
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_frame_size(Some(limits.max_body))
        .max_message_size(Some(limits.max_body));
    let stream = TokioIo::new(upgraded);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let transport = Transport::new(socket, limits.answer_timeout, connection.draining.clone());
    let open = Open::start();
    let (transport, end) = if is_known {
        Session::new(caller, transport).run().await
    } else {
        (transport, Reason::UnknownProtocol.into())
    };
    transport.close(&end).await;
    open.closed(end.reason.as_str());
    drop(connection);
}

fn offers_protocol(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offers
        .filter_map(|offer| offer.to_str().ok())
        .any(|offer| offer.split(',').any(|protocol| protocol.trim() == PROTOCOL))
}

fn reject_handshake() -> Response {
    let message = "Not a WebSocket handshake (version 13 required).".into();
    let mut response = error_response(MediaType::Json, Error::Client(Code::BadRequest, message));
    let version = HeaderValue::from_static("13");
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, version);
    response
}
