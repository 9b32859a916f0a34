//! The trace of a request, or of an event of a subscription, for the client that made it or is sent it: what the
//! playground shows beside a response.
//!
//! It is found by the value of the response's header or extension `traceresponse`, whose ids are random and made here, so
//! that nobody finds the trace of somebody else's request.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use graphql_telemetry::trace_store::TraceView;
use opentelemetry::{SpanId, TraceId};
use serde_json::json;

use super::AppState;

/// How long a trace is served after its request: as long as someone looks at the response.
const MAX_AGE: Duration = Duration::from_mins(5);

/// Returns what is stored of a request.
pub async fn trace(
    State(state): State<Arc<AppState>>,
    Path(traceresponse): Path<String>,
) -> Response {
    let Some(store) = &state.traces else {
        return not_found("Traces are not stored: the store is switched off by --trace-store 0.");
    };
    let ids = parse(&traceresponse);
    let found = ids.and_then(|(trace, span)| store.request(trace, span)).filter(is_recent);
    match found.map(without_links_elsewhere) {
        // It may grow, by a late log line.
        Some(found) => ([(header::CACHE_CONTROL, "no-store")], Json(found)).into_response(),
        None => not_found("The trace is not stored any more."),
    }
}

fn is_recent(trace: &TraceView) -> bool {
    let age = SystemTime::now().duration_since(trace.start).unwrap_or_default();
    age.as_secs_f64() - trace.duration < MAX_AGE.as_secs_f64()
}

/// Removes the links to other traces. Those of a subscription's event name the mutation of another client and other
/// clients' subscriptions, and the ids of a span suffice to read its trace here.
fn without_links_elsewhere(mut trace: TraceView) -> TraceView {
    for span in &mut trace.spans {
        span.links.retain(|link| link.trace_id == trace.trace_id);
    }
    trace
}

/// The ids of `00-{trace id}-{span id}-{flags}`.
fn parse(traceresponse: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = traceresponse.split('-');
    let (trace, span) = (parts.nth(1)?, parts.next()?);
    Some((TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?))
}

fn not_found(why: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": why }))).into_response()
}
