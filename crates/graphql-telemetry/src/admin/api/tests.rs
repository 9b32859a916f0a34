//! The routes, called in this process.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    http::{Request, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::*;
use crate::{
    GaugeSampler,
    admin::{Setting, index::ENDPOINTS},
    trace_store::{TraceStore, TraceStoreOptions},
};

const LIMIT: Duration = Duration::from_secs(10);

fn admin() -> Admin {
    Admin::with_sampler(GaugeSampler::new(None, || ()))
}

async fn send(router: &mut Router, path: &str, accept: &str) -> Response {
    let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap();
    router.call(request).await.unwrap()
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

async fn json(router: &mut Router, path: &str) -> Value {
    let response = send(router, path, "*/*").await;
    assert_eq!(response.status(), 200, "{path}");
    assert_eq!(response.headers()["content-type"], "application/json", "{path}");
    serde_json::from_str(&text(response).await).unwrap()
}

#[tokio::test]
async fn guards_all_but_health_and_the_list() {
    let reject = |_: &_| Err(Box::new(StatusCode::UNAUTHORIZED.into_response()));
    let mut router = admin().authorize(reject).router();
    let others = ["/debug/api/nothing", "/debug/api/traces/1/2"];
    for path in ENDPOINTS.iter().map(|(path, _)| *path).chain(others) {
        let status = send(&mut router, path, "*/*").await.status();
        let is_guarded = !["/", "/livez", "/readyz"].contains(&path);
        assert_eq!(status == 401, is_guarded, "{path}: {status}");
    }
}

#[tokio::test]
async fn lists_the_endpoints_that_are_served() {
    let mut router = admin().traces(Some(TraceStore::new(TraceStoreOptions::default()))).router();
    let response = send(&mut router, "/", "*/*").await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    let list = text(response).await;
    for line in list.lines() {
        let (path, sentence) = line.split_once(' ').unwrap();
        assert!(path.starts_with('/') && sentence.ends_with('.'), "{line}");
        let status = send(&mut router, path, "*/*").await.status();
        // Nothing to scrape, no telemetry, no such trace.
        let is_off = ["/metrics", "/debug/api/telemetry", "/debug/api/traces/{trace_id}"];
        let is_off = is_off.contains(&path);
        assert_eq!(status == 404, is_off, "{path}: {status}");
    }
    assert!(list.contains("/debug/api/history "), "{list}");
}

#[tokio::test]
async fn rejects_parameters_that_operations_do_not_have() {
    let mut router = admin().traces(Some(TraceStore::new(TraceStoreOptions::default()))).router();
    for (query, status) in [
        ("", 200),
        ("?order=slowest&only=slow_polls&root_field=Query.books&limit=1000", 200),
        ("?limit=0", 400),
        ("?limit=1001", 400),
        ("?limit=many", 400),
        ("?order=fastest", 400),
        ("?onyl=failed", 400),
    ] {
        let response = send(&mut router, &format!("/debug/api/operations{query}"), "*/*").await;
        assert_eq!(response.status(), status, "{query}");
    }
}

#[tokio::test]
async fn without_a_store_there_are_no_traces() {
    let mut router = admin().router();
    for path in ["operations", "root-fields", "traces/0af7651916cd43dd8448eb211c80319c"] {
        let response = send(&mut router, &format!("/debug/api/{path}"), "*/*").await;
        assert_eq!(response.status(), 404, "{path}");
        assert!(text(response).await.contains("switched off"), "{path}");
    }
}

#[tokio::test]
async fn responds_to_unknown_paths_with_a_line() {
    let mut router = admin().router();
    for path in ["/nothing", "/debug/api/nothing", "/assets/nothing.js"] {
        let response = send(&mut router, path, "*/*").await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(text(response).await, "not found; / lists the endpoints\n", "{path}");
    }
}

#[tokio::test]
async fn serves_pages_to_browsers_without_authorization() {
    let pages = Router::new()
        .route("/", get(async || "the page"))
        .route("/assets/{file}", get(async || "a file"));
    let reject = |_: &_| Err(Box::new(StatusCode::UNAUTHORIZED.into_response()));
    let mut router = admin().pages(pages).authorize(reject).router();
    let html = "text/html,application/xhtml+xml";
    let page = send(&mut router, "/", html).await;
    assert_eq!(page.headers()["vary"], "accept");
    assert_eq!(text(page).await, "the page");
    assert_eq!(text(send(&mut router, "/assets/a.js", "*/*").await).await, "a file");
    let list = text(send(&mut router, "/", "*/*").await).await;
    assert!(list.starts_with("/ ") && list.contains("/livez "), "{list}");
    assert_eq!(send(&mut router, "/debug/api/history", html).await.status(), 401);
}

#[tokio::test]
async fn history_grows_each_second() {
    let admin = admin();
    let mut router = admin.clone().router();
    let empty = json!({ "interval": 1.0, "time": [], "series": {} });
    assert_eq!(json(&mut router, "/debug/api/history").await, empty);
    admin.spawn_samplers();
    sleep(Duration::from_millis(2500)).await;
    let history = json(&mut router, "/debug/api/history").await;
    let length = |values: &Value| values.as_array().unwrap().len();
    assert_eq!(length(&history["time"]), 2, "{history}");
    for (name, values) in history["series"].as_object().unwrap() {
        assert_eq!(length(values), 2, "{name}");
    }
    assert!(history["series"]["tasks"][1].as_u64() >= Some(1), "{history}");
    #[cfg(target_os = "linux")]
    assert!(history["series"]["memory"][1].as_u64() > Some(1_000_000), "{history}");
}

#[tokio::test]
async fn sends_events_to_some_readers() {
    let admin = admin();
    let mut router = admin.clone().router();
    admin.spawn_samplers();
    let mut responses = Vec::new();
    for _ in 0..=events::READERS {
        responses.push(send(&mut router, "/debug/api/events", "text/event-stream").await);
    }
    let rejected = responses.pop().unwrap();
    assert_eq!(rejected.status(), 503);
    assert_eq!(text(rejected).await, "16 clients read events already\n");
    let response = responses.pop().unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut events = response.into_body().into_data_stream();
    let event = timeout(LIMIT, events.next()).await.unwrap().unwrap().unwrap();
    let event = String::from_utf8(event.into()).unwrap();
    assert!(event.starts_with("event: sample\ndata: {\"time\":"), "{event}");
    drop(events);
    let response = send(&mut router, "/debug/api/events", "text/event-stream").await;
    assert_eq!(response.status(), 200, "a reader went away");
}

#[tokio::test]
async fn shows_settings_and_empty_lists() {
    let setting = Setting {
        flag: None,
        variable: Some("OTEL_SERVICE_NAME".to_owned()),
        value: Some("shop".to_owned()),
        source: "environment",
    };
    let mut router = admin().settings(vec![setting]).router();
    assert_eq!(
        json(&mut router, "/debug/api/settings").await,
        json!({ "settings": [
            { "flag": null, "variable": "OTEL_SERVICE_NAME", "value": "shop", "source": "environment" }
        ] })
    );
    assert!(json(&mut router, "/debug/api/slow-polls").await["slow_polls"].is_array());
    let database = json(&mut router, "/debug/api/database").await;
    assert!(database["pools"].is_array() && database["statements"] == json!([]), "{database}");
}

#[cfg(feature = "profiles")]
#[tokio::test]
async fn rejects_profiles_that_cannot_be_made() {
    let mut router = admin().router();
    for (query, status) in
        [("?seconds=0", 400), ("?seconds=301", 400), ("?seconds=x", 400), ("", 501)]
    {
        let path = format!("/debug/api/profile{query}");
        assert_eq!(send(&mut router, &path, "*/*").await.status(), status, "{path}");
    }
}
