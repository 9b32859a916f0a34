//! The alerts, under normal load and under faults, by the service, the collector and Prometheus with
//! the repository's rules. By itself in its binary: other tests beside it would be no normal load.
//!
//! Alerts that look back for an hour, or at several instances, are tested with invented series, in
//! `collector/prometheus/tests`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use testing::{
    Db, Service,
    stack::{FAULT, Stack, make_unbearable},
};

/// How long a fault goes on at most until its alert fires.
const LIMIT: Duration = Duration::from_mins(4);

const VARIABLES: &[(&str, &str)] = &[
    // Rules know the service by any name.
    ("OTEL_SERVICE_NAME", "shelf"),
    ("COLOPHON_SLOW_POLL", "50ms"),
    ("COLOPHON_POOL_SIZE", "4"),
    ("COLOPHON_POOL_WAIT", "500ms"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
];

#[tokio::test(flavor = "multi_thread")]
async fn fires_alerts_on_faults_only() {
    let db = Db::postgres().await;
    let mut stack = Stack::start(&db, VARIABLES).await;
    make_unbearable(&db).await;
    quiet(&stack).await;

    // Traces wait from here on; the alert looks back for five minutes.
    stack.backend = None;
    let service = &stack.service;
    let failing = async || {
        let failing = repeat(service, FAULT, 4);
        futures_util::join!(failing, repeat(service, "{ labSleep(ms: 300) }", 20));
    };
    until_fired(&stack, &["ColophonErrorBudgetBurn", "ColophonLatencyBudgetBurn"], failing).await;
    let blocking = async || repeat(service, "{ labBlock(ms: 60) }", 4).await;
    until_fired(&stack, &["ColophonSlowPolls"], blocking).await;
    let starving = async || repeat(service, "{ labStarve(ms: 1000) }", 10).await;
    until_fired(&stack, &["ColophonTasksWait"], starving).await;
    // For longer than anyone waits for a connection, and for less.
    let exhausting = async |ms: usize, waiting: usize| {
        let all = format!("{{ labExhaustPool(ms: {ms}) }}");
        let waiting = repeat(service, "{ books(first: 1) { nodes { id } } }", waiting);
        futures_util::join!(ask(service, &all), waiting);
    };
    let lacking = ["ColophonPoolTimeouts", "ColophonDatabaseUnavailable"];
    until_fired(&stack, &lacking, async || exhausting(2000, 8).await).await;
    until_fired(&stack, &["ColophonPoolSaturated"], async || exhausting(400, 40).await).await;

    let normal = async || repeat(service, "{ books(first: 1) { nodes { id } } }", 2).await;
    until_fired(&stack, &["ColophonBackendUnreachable"], normal).await;
    stack.collector.signal("-STOP");
    until_fired(&stack, &["ColophonCollectorGone"], normal).await;
    stack.collector.signal("-CONT");
    until_fired(&stack, &["ColophonTelemetryLost"], normal).await;
    stack.service.signal("-KILL");
    until_fired(&stack, &["ColophonGone"], async || ()).await;
}

/// A minute of what the service is for, during which no alert fires.
async fn quiet(stack: &Stack) {
    let prometheus = &stack.prometheus;
    let is_scraped = async || !prometheus.query("up{job=\"colophon\"} == 1").await.is_empty();
    prometheus.wait("the service is scraped", is_scraped).await;
    for number in 0..20 {
        stack.service.create(json!({ "title": format!("Book {number}") })).await;
    }
    let started = Instant::now();
    while started.elapsed() < Duration::from_mins(1) {
        repeat(&stack.service, "{ books(first: 5) { nodes { title authors { name } } } }", 2).await;
        repeat(&stack.service, "{ book(id: \"book_1\") { title } }", 2).await;
        // A client's mistakes are none of ours.
        repeat(&stack.service, "{ nothing }", 2).await;
    }
    let operations = prometheus.query("job:graphql_server_requests:rate5m > 0").await;
    assert_eq!(operations.len(), 1, "the rules have seen the load");
    // One that is pending for a moment, for want of a second sample, is what `for` is there for.
    let alerts = prometheus.query("count_over_time(ALERTS{alertstate=\"firing\"}[1m])").await;
    assert!(alerts.is_empty(), "{alerts:#?}");
}

/// Goes on with a fault until its alerts fire, which must say everything that they are to say.
async fn until_fired(stack: &Stack, names: &[&str], fault: impl AsyncFn()) {
    let started = Instant::now();
    let mut missing = names.to_vec();
    loop {
        fault().await;
        let mut alerts = stack.prometheus.alerts().await;
        alerts.retain(|alert| alert["state"] == "firing");
        missing.retain(|name| {
            let Some(alert) = alerts.iter().find(|alert| alert["labels"]["alertname"] == **name)
            else {
                return true;
            };
            println!(
                "{name}, after {:.0?}: {}",
                started.elapsed(),
                alert["annotations"]["summary"]
            );
            complete(alert);
            false
        });
        if missing.is_empty() {
            return;
        }
        let fired: Vec<_> = alerts.iter().map(|alert| &alert["labels"]["alertname"]).collect();
        assert!(started.elapsed() < LIMIT, "{missing:?} do not fire, only {fired:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Labels and annotations are there, without anything that a template could not fill.
fn complete(alert: &Value) {
    assert!(
        ["page", "ticket"].contains(&alert["labels"]["severity"].as_str().unwrap()),
        "{alert:#}"
    );
    let annotations = alert["annotations"].as_object().unwrap();
    for name in ["summary", "description", "runbook_url", "dashboard"] {
        let text = annotations[name].as_str().unwrap();
        let is_filled =
            !text.is_empty() && !text.contains("<no value>") && !text.contains("<error");
        assert!(is_filled, "{name}: {alert:#}");
    }
}

async fn repeat(service: &Service, document: &str, at_once: usize) {
    join_all((0..at_once).map(|_| ask(service, document))).await;
}

async fn ask(service: &Service, document: &str) -> Value {
    service.execute(document, json!({})).await
}
