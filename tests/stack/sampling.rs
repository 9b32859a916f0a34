//! What of the traces is kept, and what is counted of all.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use sea_orm::{ConnectionTrait, Database};
use serde_json::json;

use crate::support::{
    Db, Service,
    collector::{Collector, Options, free_port, prompt},
};

const TRACES: usize = 1000;
const ERRORS: usize = 20;
const SLOW: usize = 10;

/// Sends a document so often, some at a time, and answers the traces that it made.
async fn send(service: &Service, document: &str, times: usize) -> HashSet<String> {
    let one = || async { service.traced(document, json!({})).await.0 };
    stream::iter(0..times).map(|_| one()).buffer_unordered(8).collect().await
}

/// The sum of all series of a counter in a scrape that have this label.
async fn total(url: &str, name: &str, label: &str) -> usize {
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_slow_traces_are_kept_and_all_are_counted() {
    // In the place of Tempo and Loki there is another collector, which writes down what it gets.
    let backend = Collector::start();
    let exposed = format!("127.0.0.1:{}", free_port());
    let collector = Collector::start_with(&Options {
        layers: &["grafana"],
        variables: &[
            ("TEMPO_OTLP_ENDPOINT", backend.grpc.trim_start_matches("http://")),
            ("LOKI_OTLP_ENDPOINT", &backend.http),
            ("COLLECTOR_PROMETHEUS", &exposed),
        ],
        ..Options::default()
    });
    let db = Db::sqlite();
    let mut variables = prompt(&collector.http);
    variables.push(("COLOPHON_LAB", "true"));
    let service = db.serve_in(&variables).await;

    let slow = send(&service, "{ labSleep(ms: 700) }", SLOW).await;
    let quick = send(&service, "{ book(id: \"book_1\") { title } }", TRACES - SLOW - ERRORS).await;
    let connection = Database::connect(&db.url).await.unwrap();
    connection.execute_unprepared("ALTER TABLE author RENAME TO writer").await.unwrap();
    let errors = send(&service, "{ authors { nodes { name } } }", ERRORS).await;

    let kept = |c: &Collector| c.spans().into_iter().map(|span| span.trace).collect::<HashSet<_>>();
    let wanted: HashSet<_> = errors.union(&slow).cloned().collect();
    assert_eq!(wanted.len(), ERRORS + SLOW);
    backend.wait("errors and slow traces arrive", |c| kept(c).is_superset(&wanted));
    for trace in &wanted {
        backend.trace(trace);
    }
    let url = format!("http://{exposed}/metrics");
    let started = Instant::now();
    let count = || async {
        total(&url, "traces_span_metrics_calls_total", "span_kind=\"SPAN_KIND_SERVER\"").await
    };
    while count().await != TRACES {
        assert!(started.elapsed() < Duration::from_secs(30), "{} were counted", count().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let red =
        total(&url, "traces_span_metrics_calls_total", "error_type=\"INTERNAL_SERVER_ERROR\"");
    assert!(red.await >= ERRORS);

    // A tenth of the rest: 97 on average, with a standard deviation of 9.
    let share = kept(&backend).intersection(&quick).count();
    assert!((50..150).contains(&share), "{share} of the quick traces were kept");
    assert_eq!(collector.raw(), "", "with a layer nothing is written to files");
}
