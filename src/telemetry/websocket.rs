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
    export::traces::start_span,
    names::{WEBSOCKET_ACTIVE, WEBSOCKET_CLOSED, own},
    series::Series,
    trace_context::{self, TRACEPARENT, TRACESTATE},
};
use crate::http::websocket::close::Reason;

/// What an operation on a socket belongs to.
#[derive(Clone, Debug)]
pub struct Origin {
    peer: SocketAddr,
    /// Who asks, perhaps through a proxy, which is the peer then.
    client: IpAddr,
    /// The span of the request that asked for the socket, which ended with its answer.
    upgrade: SpanContext,
    /// The span of the caller, if it told of one.
    parent: Context,
}

impl Origin {
    /// What is known while the request for the socket is answered.
    #[must_use]
    pub fn of_upgrade(peer: SocketAddr, client: IpAddr) -> Self {
        let upgrade = Context::map_current(|context| context.span().span_context().clone());
        Self { peer, client, upgrade, parent: Context::new() }
    }

    /// The same, for an operation with these `extensions`, which may have a `traceparent`.
    #[must_use]
    pub fn of_operation(&self, extensions: Option<&Value>) -> Self {
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

    /// Tells that it is closed.
    pub fn closed(self, reason: Reason) {
        closed().of(reason).increment(1);
        info!(
            name: "websocket.closed",
            {
                websocket.close.reason = reason.as_str(),
                duration = self.opened.elapsed().as_secs_f64()
            },
            "a socket was closed"
        );
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.decrement(1);
    }
}

fn closed() -> &'static Series<Reason, Counter> {
    static CLOSED: LazyLock<Series<Reason, Counter>> = LazyLock::new(|| {
        Series::new(|reason: &Reason| {
            WEBSOCKET_CLOSED.counter(vec![Label::new(own::CLOSE_REASON, reason.as_str())])
        })
    });
    &CLOSED
}

/// Starts the metrics at zero, so that a first refusal is a rise.
pub fn start_counters() {
    WEBSOCKET_ACTIVE.gauge(Vec::new()).increment(0);
    for reason in Reason::ALL {
        closed().of(reason).increment(0);
    }
}
