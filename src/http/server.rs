//! The accept loop. Our own and not `axum::serve`, for what that lacks: a time-out for request
//! heads, a cap on connections, named tasks, and a drain that ends.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::{
    config::limits::RequestLimits,
    telemetry::{http::Peer, runtime::tasks},
};

/// How long to wait after a failed accept, which is mostly for want of file descriptors: trying
/// again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener's connections and requests.
#[derive(Clone)]
pub struct Server {
    name: &'static str,
    router: Router,
    slots: Arc<Semaphore>,
    head_timeout: Duration,
    /// Cancelled when no more connections are to be accepted.
    drain: CancellationToken,
    connections: TaskTracker,
    /// Requests being answered, up to the last byte of the answer's head.
    requests: TaskTracker,
}

impl Server {
    /// A server of `router`, whose tasks are called `name`.
    #[must_use]
    pub fn new(name: &'static str, router: Router, limits: &RequestLimits) -> Self {
        Self {
            name,
            router,
            slots: Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS))),
            head_timeout: limits.request_timeout,
            drain: CancellationToken::new(),
            connections: TaskTracker::new(),
            requests: TaskTracker::new(),
        }
    }

    /// Accepts connections until [`Server::drain`]ed.
    pub async fn accept(&self, listener: TcpListener) {
        loop {
            // A slot first: connections beyond the cap wait in the kernel's queue.
            let accepted = async {
                let slot = self.slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = self.drain.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let server = self.clone();
                    let serving = async move {
                        server.serve(stream, Peer(peer)).await;
                        drop(slot);
                    };
                    let task = self.connections.track_future(serving);
                    tasks::spawn(self.name, task);
                }
                Err(error) => {
                    warn!(name: "http.accept_failed", %error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, stream: TcpStream, peer: Peer) {
        // Answers are written whole; waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(name: "http.nodelay_failed", %error);
        }
        let router = self.router.clone();
        let requests = self.requests.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            requests.track_future(router.clone().oneshot(request))
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.drain.cancelled() => {
                // Closes after the answer in flight, or at once if there is none.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            debug!(name: "http.connection_failed", %error, "a connection ended early");
        }
    }

    /// Accepts no more connections, and ends once the requests in flight are answered.
    /// Connections that have sent only part of a request are not waited for.
    pub async fn drain(&self) {
        self.drain.cancel();
        self.requests.close();
        self.requests.wait().await;
        self.connections.close();
        // The last bytes of the last answers; silent connections would stay for ever.
        let _ = tokio::time::timeout(Duration::from_millis(250), self.connections.wait()).await;
    }
}
