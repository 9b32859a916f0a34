//! `/`: a page for browsers, if the service has one, and a list of the endpoints for everybody else.

use std::{fmt::Write, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tower_service::Service;

use super::{Admin, NOT_FOUND, rejection::Rejection};

/// The endpoints, with a sentence each.
pub(super) const ENDPOINTS: [(&str, &str); 20] = [
    ("/", "This list; in a browser the admin UI, where it is served."),
    ("/livez", "Whether the process is alive: 503 while all workers are blocked."),
    ("/readyz", "Whether the service can do its work."),
    ("/metrics", "The metrics in Prometheus' text format."),
    ("/debug/tasks", "All tasks and where they are parked; JSON by `Accept: application/json`."),
    ("/debug/pprof/profile", "A CPU profile of ?seconds=30, for `go tool pprof`."),
    ("/debug/pprof/flamegraph", "The same as an SVG."),
    ("/debug/recording", "POST records the runtime for ?seconds=10, GET gets the last minutes."),
    ("/debug/api/operations", "The operations of recent traces, by ?order=, ?only=, ?root_field=."),
    ("/debug/api/root-fields", "Figures of all operations since the start, by root field."),
    ("/debug/api/traces/{trace_id}", "A recent trace, with its log lines."),
    ("/debug/api/history", "The last 15 minutes: workers, queues, polls, operations, pools."),
    ("/debug/api/events", "Server-sent events: a sample each second, and slow polls."),
    ("/debug/api/slow-polls", "The last 100 polls that blocked a worker."),
    ("/debug/api/subscriptions", "The open subscriptions, with their events."),
    ("/debug/api/tasks", "All tasks and where they are parked, as JSON."),
    ("/debug/api/profile", "A CPU profile of ?seconds=10, as JSON."),
    ("/debug/api/database", "The pools of connections, and the statements."),
    ("/debug/api/telemetry", "What is produced, exported and lost of traces, metrics and logs."),
    ("/debug/api/settings", "The effective settings, without secrets."),
];

/// `GET /`
pub async fn index(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let mut response = match &admin.pages {
        Some(pages) if wants_html(request.headers()) => serve(pages.clone(), request).await,
        _ => list().into_response(),
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_name(header::ACCEPT));
    response
}

/// What no other route has: the files of the pages.
pub async fn other(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    match &admin.pages {
        Some(pages) => serve(pages.clone(), request).await,
        None => Rejection(StatusCode::NOT_FOUND, NOT_FOUND.to_owned()).into_response(),
    }
}

async fn serve(mut pages: axum::Router, request: Request) -> Response {
    // Always ready, and never fails.
    let Ok(response) = pages.call(request).await;
    response
}

fn wants_html(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|accept| {
        accept.to_str().is_ok_and(|accept| accept.to_ascii_lowercase().contains("text/html"))
    })
}

fn list() -> String {
    let mut text = String::new();
    for (path, sentence) in ENDPOINTS {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{path:<24} {sentence}");
    }
    text
}
