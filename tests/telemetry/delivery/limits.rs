//! Limits: of the length of texts, and of memory while a collector hangs.

use futures_util::future::join_all;
use serde_json::json;
use testing::{
    Db, Service,
    collector::{Collector, prompt},
};

use super::{DOCUMENT, hanging_endpoint, resident};

/// Asks for a path of 60,000 letters.
async fn long_path(service: &Service) {
    let url = format!("{}/{}", service.url, "x".repeat(60_000));
    assert_eq!(service.client.get(url).send().await.unwrap().status(), 404);
}

/// What clients choose has a limit: else a batch is larger than what collectors accept by gRPC, and
/// lost whole.
#[tokio::test(flavor = "multi_thread")]
async fn long_paths_cost_no_batch() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.grpc);
    variables.push(("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"));
    // All of them in one batch.
    variables.retain(|(name, _)| !name.ends_with("SCHEDULE_DELAY"));
    variables.extend([("OTEL_BSP_SCHEDULE_DELAY", "2000"), ("OTEL_BLRP_SCHEDULE_DELAY", "2000")]);
    let mut service = Db::sqlite().serve_in(&variables).await;
    join_all((0..50).map(|_| long_path(&service))).await;
    let (trace, _) = service.traced(DOCUMENT, json!({})).await;
    join_all((0..50).map(|_| long_path(&service))).await;
    collector.trace(&trace);
    service.signal("-TERM");
    assert!(service.wait().success());
    let log = service.log();
    let stopped = log.iter().find(|line| line["event"] == "telemetry.stopped").unwrap();
    assert_eq!(stopped["telemetry.export.lost"], "0 spans, 0 log records, 0 data points");
    let paths: Vec<_> = collector
        .spans()
        .into_iter()
        .filter_map(|span| span.attributes.get("url.path").cloned())
        .collect();
    assert!(paths.len() > 100 && paths.iter().all(|path| path.len() <= 1024));
    let longest = log.iter().map(|line| line.to_string().len()).max();
    assert!(longest < Some(2048), "log lines are cut as well: {longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_has_a_bound_while_the_collector_hangs() {
    let endpoint = hanging_endpoint();
    let service = Db::sqlite().serve_in(&prompt(&endpoint)).await;
    service.data(DOCUMENT, json!({})).await;
    let before = resident(&service);
    for _ in 0..60 {
        join_all((0..20).map(|_| long_path(&service))).await;
    }
    let grown = resident(&service).saturating_sub(before);
    // Documented are 64 MiB; 1,200 requests do not fill the queues.
    assert!(grown < 32 << 20, "{grown} bytes more");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_cut_where_a_variable_says() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    variables.extend([
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "9"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "12"),
    ]);
    let service = Db::sqlite().serve_in(&variables).await;
    let (trace, _) = service.traced(DOCUMENT, json!({})).await;
    let longest = |texts: Vec<String>| texts.iter().map(String::len).max();
    let spans = collector.trace(&trace).into_iter();
    assert_eq!(longest(spans.flat_map(|span| span.attributes.into_values()).collect()), Some(12));
    collector.wait("a log record", |c| c.records().iter().any(|record| record.trace == trace));
    let records = collector.records().into_iter().filter(|record| record.trace == trace);
    let texts = records
        .flat_map(|record| record.attributes)
        .filter(|(key, _)| key != "http.request.duration");
    assert!(longest(texts.map(|(_, text)| text).collect()) <= Some(9));
}
