//! The way to Elastic Cloud. In its place there is a collector that wants a token, as its intake
//! does, and writes down what it gets.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testing::{
    Db, PATIENCE, Service,
    collector::{Collector, Options, free_port, prompt},
};

const INTAKE: &str = "
extensions: { bearertokenauth: { token: right } }
receivers: { otlp: { protocols: { http: { auth: { authenticator: bearertokenauth } } } } }
service: { extensions: [health_check, bearertokenauth] }";

fn intake(port: u16) -> Collector {
    let options = Options { overlay: Some(INTAKE), http_port: Some(port), ..Options::default() };
    Collector::start_with(&options)
}

/// A collector on its way to the intake, which keeps every trace.
fn gateway(intake: u16, token: &str, variables: &[(&str, &str)], port: Option<u16>) -> Collector {
    let endpoint = format!("http://127.0.0.1:{intake}");
    let mut all = vec![
        ("ELASTIC_OTLP_ENDPOINT", endpoint.as_str()),
        ("ELASTIC_TOKEN", token),
        ("COLLECTOR_SAMPLING_PERCENTAGE", "100"),
    ];
    all.extend(variables);
    Collector::start_with(&Options {
        layers: &["elastic-cloud"],
        variables: &all,
        http_port: port,
        ..Options::default()
    })
}

/// Asks again and again, and returns the traces.
async fn ask_for_a_while(service: &Service, time: Duration) -> HashSet<String> {
    let started = Instant::now();
    let mut traces = HashSet::new();
    while started.elapsed() < time {
        traces.insert(ask(service).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    traces
}

async fn ask(service: &Service) -> String {
    service.traced("{ books(first: 1) { nodes { title } } }", json!({})).await.0
}

/// The items of a collection in every line that the collector wrote.
fn all<'a>(lines: &'a [Value], path: &[&'a str]) -> Vec<&'a Value> {
    let start: Vec<&Value> = lines.iter().collect();
    path.iter().fold(start, |items, key| {
        items.into_iter().filter_map(|item| item[*key].as_array()).flatten().collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_as_elastic_wants_it() {
    let port = free_port();
    let intake = intake(port);
    let gateway = gateway(port, "right", &[], None);
    let service = Db::sqlite().serve_in(&prompt(&gateway.http)).await;
    let trace = ask(&service).await;

    let spans = intake.trace(&trace);
    let statement = spans.iter().find(|span| span.name == "SELECT book").unwrap();
    assert_eq!(statement.attribute("db.system"), statement.attribute("db.system.name"));
    assert_eq!(statement.attribute("db.statement"), statement.attribute("db.query.text"));
    assert_eq!(statement.attribute("db.name"), statement.attribute("db.namespace"));
    intake.wait("log records arrive", |c| c.records().iter().any(|r| r.trace == trace));
    let (delta, cumulative) = (1, 2);
    for (name, kind, wanted) in [
        ("graphql.server.request.duration", "histogram", delta),
        ("tokio.tasks.spawned", "sum", delta),
        // Tasks that are there now: nothing that could be added up over time.
        ("tokio.tasks.alive", "sum", cumulative),
    ] {
        let arrived = |c: &Collector| temporality(c, name, kind);
        assert_eq!(intake.wait_for(name, PATIENCE, arrived), wanted, "{name}");
    }
}

/// The temporality of a metric that arrived.
fn temporality(collector: &Collector, name: &str, kind: &str) -> Option<u64> {
    let raw = collector.raw();
    let lines: Vec<Value> = raw.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let metrics = all(&lines, &["resourceMetrics", "scopeMetrics", "metrics"]);
    let metric = metrics.into_iter().find(|metric| metric["name"] == name)?;
    metric[kind]["aggregationTemporality"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_a_wrong_token() {
    let port = free_port();
    let intake = intake(port);
    let gateway = gateway(port, "wrong", &[], None);
    let service = Db::sqlite().serve_in(&prompt(&gateway.http)).await;
    ask(&service).await;
    gateway.wait("the refusal is told", |c| {
        c.log().lines().any(|l| l.contains("\terror\t") && l.contains("401"))
    });
    assert_eq!(intake.raw(), "");
}

/// The intake is away for a minute, and the collector is started anew meanwhile: what waits is on
/// disk.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_intake_is_away() {
    let (port, own) = (free_port(), free_port());
    let dir = tempfile::TempDir::new().unwrap();
    let storage = dir.path().display().to_string();
    let start = || gateway(port, "right", &[("COLLECTOR_STORAGE", &storage)], Some(own));
    let gateway = start();
    let service = Db::sqlite().serve_in(&prompt(&gateway.http)).await;

    let half = Duration::from_secs(30);
    let mut asked = ask_for_a_while(&service, half).await;
    gateway.end();
    let _gateway = start();
    asked.extend(ask_for_a_while(&service, half).await);

    let intake = intake(port);
    let limit = Duration::from_mins(1);
    intake.wait_for("all traces arrive", limit, |c| {
        let spans = c.spans();
        let roots = spans.iter().filter(|span| span.kind == 2);
        let arrived: HashSet<_> = roots.map(|span| span.trace.clone()).collect();
        arrived.is_superset(&asked).then_some(())
    });
    intake.wait_for("all log records arrive", limit, |c| {
        let arrived: HashSet<_> = c.records().into_iter().map(|record| record.trace).collect();
        arrived.is_superset(&asked).then_some(())
    });
    assert!(asked.len() > 100);
}
