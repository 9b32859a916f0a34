//! The accept loop. Not `axum::serve`, for what that lacks: time limits for heads and
//! for the taking of responses, limits of connections, named tasks, and a drain that ends.

mod connection_limiter;
mod connection_state;
pub mod response_budget;
pub mod rlimit;

mod stream;
mod timer;
mod tracked_body;

use runtime_insight::RateLimiter;
use std::{
    convert::Infallible,
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use graphql_telemetry::http::{
    Peer,
    connections::{self, Ending},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tower::ServiceExt;
use tracing::{debug, warn};

pub use self::connection_limiter::peer_key;
use crate::{
    config::limits::RequestLimits,
    http::{
        forwarded::TrustedProxies,
        server::{
            connection_limiter::{
                ConnectionLimiter, ConnectionPermit, PeerLimitExceeded, PeerPermit,
            },
            response_budget::ResponseBudget,
            stream::TimedStream,
            timer::{HeadTimer, Timeouts},
            tracked_body::TrackedBody,
        },
    },
};

/// How long to wait after a failed accept, which is mostly for want of file descriptors: trying
/// again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long connections are still accepted, and requests on idle ones answered, when the drain
/// has begun: those that were sent before it may yet be on their way.
const LAST_REQUESTS: Duration = Duration::from_millis(100);
/// Bytes that the kernel takes of a response before it can send them. If nothing is said, it takes
/// megabytes, and a client that reads nothing looks like one that has read all.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 * 1024;
/// Bytes of a request's head, and of what is read ahead of a body.
const READ_BUFFER: usize = 64 * 1024;

/// A listener's connections and requests.
#[derive(Clone)]
pub struct Server {
    name: &'static str,
    router: Router,
    limiter: Arc<ConnectionLimiter>,
    proxies: TrustedProxies,
    timeouts: Timeouts,
    answer_timeout: Duration,
    /// The responses that its clients have not yet taken.
    budget: ResponseBudget,
    /// Cancelled when the end is near: answers close their connections.
    draining: CancellationToken,
    /// Cancelled when nothing more is accepted.
    closing: CancellationToken,
    /// Requests being answered, up to the last byte, and connections that were upgraded.
    requests: TaskTracker,
}

/// The connection of a request; an extension of each. An upgraded connection keeps this
/// for as long as the connection lives.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// Who asks: the peer, or who came to it if it is a trusted proxy.
    pub client: IpAddr,
    /// Cancelled when the service is about to end, and the connection should.
    pub draining: CancellationToken,
    /// Released when the connection ends.
    _permit: Arc<ConnectionPermit>,
    /// What counts for the client of a trusted proxy.
    peer_permit: Result<Option<Arc<PeerPermit>>, PeerLimitExceeded>,
    /// Has the drain wait for it.
    _request: TaskTrackerToken,
}

impl Connection {
    /// Whether its client, who comes through a proxy, has as many requests and sockets as one may
    /// have.
    #[must_use]
    pub const fn is_over_share(&self) -> bool {
        self.peer_permit.is_err()
    }
}

impl Server {
    /// A server of `router`, whose tasks are called `name`.
    #[must_use]
    pub fn new(name: &'static str, router: Router, limits: &RequestLimits) -> Self {
        Self {
            name,
            router,
            limiter: ConnectionLimiter::new(limits, false),
            proxies: TrustedProxies::default(),
            timeouts: Timeouts { head: limits.request_timeout, keep_alive: limits.keep_alive },
            answer_timeout: limits.answer_timeout,
            budget: ResponseBudget::new(limits.max_backlog),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            requests: TaskTracker::new(),
        }
    }

    /// This server with its connections in the metrics.
    #[must_use]
    pub fn measured(self, limits: &RequestLimits) -> Self {
        connections::start_counters();
        Self { limiter: ConnectionLimiter::new(limits, true), ..self }
    }

    /// This server with the budget that its responses are reserved in.
    #[must_use]
    pub fn with_response_budget(self, budget: ResponseBudget) -> Self {
        Self { budget, ..self }
    }

    /// This server behind these proxies.
    #[must_use]
    pub fn with_trusted_proxies(self, proxies: TrustedProxies) -> Self {
        Self { proxies, ..self }
    }

    /// Accepts connections until [`Server::drain`]ed.
    pub async fn accept(&self, listener: TcpListener) {
        let server = Arc::new(self.clone());
        loop {
            let (socket, peer, permit) = tokio::select! {
                accepted = self.next(&listener) => accepted,
                () = self.closing.cancelled() => return,
            };
            let server = server.clone();
            runtime_insight::spawn(self.name, async move {
                let permit = Arc::new(permit);
                let ending = server.serve(socket, peer, &permit).await;
                permit.detach();
                server.closed(ending);
            });
        }
    }

    /// The next connection that gets a place. While there is none, others wait in the kernel.
    async fn next(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, ConnectionPermit) {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => {
                    let counted = Some(peer.ip()).filter(|ip| !self.proxies.contains(*ip));
                    match self.limiter.acquire(counted).await {
                        Ok(permit) => return (socket, peer, permit),
                        Err(PeerLimitExceeded) => self.closed(Some(Ending::PeerLimit)),
                    }
                }
                Err(error) => self.recover(error).await,
            }
        }
    }

    fn closed(&self, ending: Option<Ending>) {
        if self.limiter.measured {
            connections::closed(ending);
        }
    }

    async fn recover(&self, error: io::Error) {
        static WARNINGS: RateLimiter = RateLimiter::once_a_minute();
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        if WARNINGS.admit().is_some() {
            warn!(name: "http.accept_failed", { exception.message = %error }, "accepting a connection failed");
        }
        self.limiter.evict_idle();
        sleep(ACCEPT_PAUSE).await;
    }

    /// Serves a connection and returns why it ended, unless it ended as it should.
    async fn serve(
        self: &Arc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        permit: &Arc<ConnectionPermit>,
    ) -> Option<Ending> {
        if let Err(error) = set_options(&socket) {
            debug!(name: "http.socket_options_failed", { exception.message = %error }, "setting socket options failed");
        }
        let state = permit.state();
        let budget = self.budget.clone();
        let stream = TimedStream::new(socket, state.clone(), self.answer_timeout, budget);
        let seen = Peer::from(peer);
        let service = service_fn(|request| {
            self.clone().answer(request, (peer, seen.clone()), permit.clone())
        });
        let connection = http1::Builder::new()
            .timer(HeadTimer { state: state.clone(), timeouts: self.timeouts })
            // Some clients compare the names of the handshake of WebSocket by letters' case.
            .title_case_headers(true)
            // Has hyper use the timer, which knows its own times.
            .header_read_timeout(self.timeouts.head)
            .max_buf_size(READ_BUFFER)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = state.evicted() => {
                if state.waiting().is_some() {
                    return Some(Ending::Evicted);
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = self.closing.cancelled() => {
                // Closes after the response in flight, or at once if there is none.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        let error = result.err()?;
        debug!(name: "http.connection_failed", { exception.message = %error }, "connection failed");
        let is_idle = state.waiting().is_some_and(|w| w.has_asked && w.head_since.is_none());
        Some(ending(&error, is_idle))
    }

    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        (peer, seen): (SocketAddr, Peer),
        permit: Arc<ConnectionPermit>,
    ) -> impl Future<Output = Result<Response<TrackedBody>, Infallible>> {
        let state = permit.state().clone();
        let forwarded = self.proxies.forwarded(peer, request.headers());
        let client = forwarded.as_ref().and_then(|f| f.client).unwrap_or(peer.ip());
        let peer_permit = if self.proxies.contains(peer.ip()) {
            self.limiter.share(client).map(|peer_permit| Some(Arc::new(peer_permit)))
        } else {
            Ok(None)
        };
        let counted = peer_permit.clone().unwrap_or_default();
        let connection = Connection {
            peer,
            client,
            peer_permit,
            draining: self.draining.clone(),
            _permit: permit,
            _request: self.requests.token(),
        };
        state.request_received(self.requests.token());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(seen);
        request.extensions_mut().insert(connection);
        if let Some(forwarded) = forwarded {
            request.extensions_mut().insert(forwarded);
        }
        async move {
            let mut response = self.router.clone().oneshot(request).await?;
            let is_last = self.draining.is_cancelled();
            if is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok(response.map(|body| TrackedBody::new(body, state, counted)))
        }
    }

    /// Accepts no more connections, and ends once all requests are answered and all upgraded
    /// connections closed. Connections that have sent only part of a head are not waited for.
    pub async fn drain(&self) {
        self.draining.cancel();
        sleep(LAST_REQUESTS).await;
        self.closing.cancel();
        self.requests.close();
        self.requests.wait().await;
    }
}

fn set_options(socket: &TcpStream) -> io::Result<()> {
    // Answers are written whole; waiting to fill a packet would only delay them.
    socket.set_nodelay(true)?;
    // Where the kernel knows no such limit, a slow reader is only noticed later.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

fn ending(error: &hyper::Error, is_idle: bool) -> Ending {
    let io_error = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match io_error.map(io::Error::kind) {
        Some(io::ErrorKind::TimedOut) => Ending::AnswerTimeout,
        Some(io::ErrorKind::QuotaExceeded) => Ending::Backlog,
        None if error.is_timeout() && is_idle => Ending::IdleTimeout,
        None if error.is_timeout() => Ending::HeadTimeout,
        _ => Ending::Broken,
    }
}

#[cfg(test)]
mod tests {
    use axum::{response::IntoResponse, routing::any};
    use clap::Parser;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::config::Cli;

    /// Upgrades, says good-bye when the service is to end, and stays until the client agrees.
    async fn upgrade(request: Request) -> Response {
        let connection = request.extensions().get::<Connection>().unwrap().clone();
        let upgraded = hyper::upgrade::on(request);
        runtime_insight::spawn("upgraded", async move {
            let mut stream = TokioIo::new(upgraded.await.unwrap());
            connection.draining.cancelled().await;
            stream.write_all(b"bye").await.unwrap();
            stream.read_u8().await.unwrap();
            drop(connection);
        });
        let head = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "test")];
        (StatusCode::SWITCHING_PROTOCOLS, head).into_response()
    }

    #[tokio::test]
    async fn drains_upgraded_connections() {
        let limits = Cli::parse_from(["colophon"]).settings.limits.requests;
        let server = Server::new("test", Router::new().route("/", any(upgrade)), &limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepting = server.clone();
        runtime_insight::spawn("accept", async move { accepting.accept(listener).await });
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"));

        let mut drained = std::pin::pin!(server.drain());
        let mut word = [0; 3];
        tokio::select! {
            read = client.read_exact(&mut word) => assert_eq!(read.unwrap(), 3),
            () = drained.as_mut() => panic!("it was not waited for"),
        }
        assert_eq!(&word, b"bye");
        let early = tokio::time::timeout(2 * LAST_REQUESTS, drained.as_mut()).await;
        assert!(early.is_err(), "it was not waited for");
        client.write_all(b"!").await.unwrap();
        drained.await;
    }
}
