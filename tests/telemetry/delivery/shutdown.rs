//! The end of the process: everything is flushed, and a collector that hangs does not delay it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;
use testing::{
    Db, Service,
    collector::{Collector, prompt},
    trace_of,
};

use super::{DOCUMENT, everything_arrives, hanging_endpoint, load};

/// Sends requests one after the other until the service takes no more; the traces of those that
/// were answered.
async fn until_refused(service: &Service, answered: &AtomicUsize) -> Vec<String> {
    let mut traces = Vec::new();
    loop {
        let request = service
            .client
            .post(format!("{}/graphql", service.url))
            .json(&json!({ "query": DOCUMENT }))
            .send();
        match request.await {
            Ok(response) if response.status() == 200 => {
                traces.push(trace_of(&response));
                answered.fetch_add(1, Ordering::Relaxed);
            }
            _ => return traces,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_the_last_trace_on_shutdown() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    // Long enough that only the end of the process sends what waits.
    variables.retain(|(name, _)| *name != "OTEL_BSP_SCHEDULE_DELAY");
    variables.push(("OTEL_BSP_SCHEDULE_DELAY", "60000"));
    let mut service = Db::sqlite().serve_in(&variables).await;
    // Parsed and validated once.
    service.data(DOCUMENT, json!({})).await;
    let answered = AtomicUsize::new(0);
    let clients = join_all((0..8).map(|_| until_refused(&service, &answered)));
    let signal = async {
        while answered.load(Ordering::Relaxed) < 200 {
            tokio::task::yield_now().await;
        }
        service.signal("-TERM");
    };
    let (traces, ()) = tokio::join!(clients, signal);
    assert!(service.wait().success());
    let spans = collector.spans();
    let traces: Vec<_> = traces.into_iter().flatten().collect();
    for trace in &traces {
        let of_trace = spans.iter().filter(|span| span.trace == *trace);
        // HTTP, operation, execution, two fields that do I/O with a statement each.
        assert_eq!(of_trace.count(), 7, "trace {trace}");
    }
    let stopped = service
        .log()
        .into_iter()
        .find(|line| line["event"] == "telemetry.stopped")
        .expect("one line says what was exported and lost");
    assert_eq!(stopped["telemetry.export.lost"], "0 spans, 0 log records, 0 data points");
    let told = format!("{} spans, ", spans.len());
    assert!(
        stopped["telemetry.export.exported"].as_str().unwrap().starts_with(&told),
        "{stopped} of {told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shuts_down_in_time_with_a_frozen_collector() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    variables.push(("COLOPHON_FLUSH_TIMEOUT", "2s"));
    let mut service = Db::sqlite().serve_in(&variables).await;
    everything_arrives(&service, &collector).await;
    collector.signal("-STOP");
    load(&service, 200).await;
    let told = Instant::now();
    service.signal("-TERM");
    assert!(service.wait().success(), "requests were answered: telemetry is not their affair");
    assert!(told.elapsed() < Duration::from_secs(4), "it took {:?}", told.elapsed());
    let log = service.log();
    let stopped = log.iter().find(|line| line["event"] == "telemetry.stopped").unwrap();
    assert_eq!(stopped["level"], "WARN");
    let lost = stopped["telemetry.export.lost"].as_str().unwrap().split(' ').next().unwrap();
    assert!(lost.parse::<u64>().unwrap() > 1000, "{stopped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_without_a_panic_while_the_collector_hangs() {
    for protocol in ["http/protobuf", "grpc"] {
        let endpoint = hanging_endpoint();
        let mut variables = prompt(&endpoint);
        variables.push(("OTEL_EXPORTER_OTLP_PROTOCOL", protocol));
        variables.push(("COLOPHON_FLUSH_TIMEOUT", "1s"));
        let mut service = Db::sqlite().serve_in(&variables).await;
        service.data(DOCUMENT, json!({})).await;
        // Metrics are on their way.
        tokio::time::sleep(Duration::from_millis(600)).await;
        service.signal("-TERM");
        assert!(service.wait().success());
        thread::sleep(Duration::from_millis(100));
        let log = service.log();
        assert!(log.iter().any(|line| line["event"] == "telemetry.stopped"), "{log:#?}");
        assert!(!log.iter().any(|line| line["event"] == "panic"), "{protocol}: {log:#?}");
    }
}
