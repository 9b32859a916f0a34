//! WebSockets: how many are open, why they were closed, and what the operations on them belong to.
//! The request that asks for a socket is one of [`http`](super::http).

use std::{
    net::{IpAddr, SocketAddr},
    sync::LazyLock,
    time::Instant,
};

use metrics::{Counter, Gauge, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind, TraceContextExt},
};
use opentelemetry_semantic_conventions::attribute as attr;
use serde_json::Value;
use tracing::info;

use super::{
    attribute,
    catalog::{WEBSOCKET_ACTIVE, WEBSOCKET_CLOSED},
    handle_cache::HandleCache,
    trace_context::{self, TRACEPARENT, TRACESTATE},
    traces::{self, start_span},
};

/// What an operation on a socket belongs to.
#[derive(Clone, Debug)]
pub struct ConnectionContext {
    peer: SocketAddr,
    /// Who asks, perhaps through a proxy, which is the peer then.
    client: IpAddr,
    /// The span of the request that asked for the socket, which ended with its response.
    upgrade: SpanContext,
    /// The span of the caller, if the message has one.
    parent: Context,
}

impl ConnectionContext {
    /// Returns what is known while the request for the socket is handled.
    #[must_use]
    pub fn of_upgrade(peer: SocketAddr, client: IpAddr) -> Self {
        let upgrade = Context::map_current(|context| context.span().span_context().clone());
        Self { peer, client, upgrade, parent: Context::new() }
    }

    /// The same, for an operation with these `extensions`, which may have a `traceparent`.
    #[must_use]
    pub fn of_operation(&self, extensions: Option<&Value>) -> Self {
        let extensions = extensions.filter(|_| traces::propagates());
        let values = |name| extensions.and_then(|all| all.get(name)?.as_str()).map(str::as_bytes);
        let parent = trace_context::extract(values(TRACEPARENT), values(TRACESTATE));
        Self { parent, ..self.clone() }
    }

    /// The operation's span: there is none above it in this process. The request's has ended, and
    /// as a parent it would make one trace of all that is asked in hours; so it is a link.
    pub(super) fn begin(&self, name: &'static str) -> Context {
        let links = vec![Link::with_context(self.upgrade.clone())];
        let span = SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_links(links);
        start_span(span, &self.parent, || {
            [
                KeyValue::new(attr::NETWORK_PROTOCOL_NAME, "websocket"),
                KeyValue::new(attr::CLIENT_ADDRESS, self.client.to_string()),
                KeyValue::new(attr::NETWORK_PEER_ADDRESS, self.peer.ip().to_string()),
                KeyValue::new(attr::NETWORK_PEER_PORT, i64::from(self.peer.port())),
            ]
        })
    }
}

/// A socket among the open ones.
#[derive(Debug)]
pub struct Open {
    gauge: Gauge,
    opened: Instant,
}

impl Open {
    /// A socket that was opened.
    #[must_use]
    pub fn start() -> Self {
        static ACTIVE: LazyLock<Gauge> = LazyLock::new(|| WEBSOCKET_ACTIVE.gauge(Vec::new()));
        let gauge = ACTIVE.clone();
        gauge.increment(1);
        Self { gauge, opened: Instant::now() }
    }

    /// Records that it is closed, for one of a fixed set of reasons.
    pub fn closed(self, reason: &'static str) {
        closed().get(reason).increment(1);
        info!(
            name: "websocket.closed",
            {
                websocket.close.reason = reason,
                websocket.duration = self.opened.elapsed().as_secs_f64()
            },
            "socket closed"
        );
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.decrement(1);
    }
}

fn closed() -> &'static HandleCache<&'static str, Counter> {
    static CLOSED: LazyLock<HandleCache<&'static str, Counter>> = LazyLock::new(|| {
        HandleCache::new(|reason: &&'static str| {
            WEBSOCKET_CLOSED.counter(vec![Label::new(attribute::CLOSE_REASON, *reason)])
        })
    });
    &CLOSED
}

/// Starts the metrics at zero, so that a first socket that is closed for one of `reasons` is a rise.
pub fn start_counters(reasons: impl IntoIterator<Item = &'static str>) {
    WEBSOCKET_ACTIVE.gauge(Vec::new()).increment(0);
    for reason in reasons {
        closed().get(reason).increment(0);
    }
}
