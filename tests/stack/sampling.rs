//! What of the traces is kept, and what is counted of all.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use sea_orm::{ConnectionTrait, Database};
use serde_json::json;
use testing::{
    Db, Service,
    collector::{Collector, Options, free_port, prompt},
    repository,
};

const TRACES: usize = 1000;
const ERRORS: usize = 20;
const SLOW: usize = 10;

/// Sends a document so often, some at a time, and returns the traces that it made.
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

/// What the delivered configuration has for a variable that is not set.
fn delivered(variable: &str) -> String {
    let config = std::fs::read_to_string(repository().join("collector/config.yaml")).unwrap();
    let (_, rest) = config.split_once(&format!("${{env:{variable}:-")).unwrap();
    rest.split_once('}').unwrap().0.to_owned()
}

/// As delivered: the collector's times, and the service's batches, which go every five seconds.
#[tokio::test(flavor = "multi_thread")]
async fn traces_that_take_long_are_kept_whole() {
    let backend = Collector::start();
    let (wait, after_root) =
        (delivered("COLLECTOR_DECISION_WAIT"), delivered("COLLECTOR_DECISION_WAIT_AFTER_ROOT"));
    let collector = Collector::start_with(&Options {
        layers: &["grafana"],
        variables: &[
            ("TEMPO_OTLP_ENDPOINT", backend.grpc.trim_start_matches("http://")),
            ("LOKI_OTLP_ENDPOINT", &backend.http),
            ("COLLECTOR_PROMETHEUS", "127.0.0.1:0"),
            ("COLLECTOR_SAMPLING_PERCENTAGE", "0"),
            ("COLLECTOR_DECISION_WAIT", &wait),
            ("COLLECTOR_DECISION_WAIT_AFTER_ROOT", &after_root),
        ],
        ..Options::default()
    });
    let serve = async |limit: &str| {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http.as_str());
        let limit = ("COLOPHON_OPERATION_TIMEOUT", limit);
        let more = [("COLOPHON_LAB", "true"), ("COLOPHON_REQUEST_TIMEOUT", "30s")];
        Db::sqlite().serve_in(&[&[endpoint, limit], &more[..]].concat()).await
    };
    let (usual, patient) = (serve("5s").await, serve("20s").await);
    let stop = tokio_util::sync::CancellationToken::new();
    let load = async {
        while !stop.is_cancelled() {
            usual.data("{ books { totalCount } }", json!({})).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // Some each second, so that they meet the batches in every phase.
    let slow = async {
        let phases = (0..6).map(async |phase| {
            tokio::time::sleep(Duration::from_secs(phase)).await;
            let (almost, late, slow) = tokio::join!(
                usual.traced("{ labSleep(ms: 4900) }", json!({})),
                usual.traced("{ labSleep(ms: 6000) }", json!({})),
                patient.traced("{ labSleep(ms: 9900) }", json!({})),
            );
            assert_eq!(late.1["errors"][0]["extensions"]["code"], "TIMEOUT");
            [almost.0, late.0, slow.0]
        });
        let traces = futures_util::future::join_all(phases).await;
        stop.cancel();
        traces.concat()
    };
    let ((), slow) = tokio::join!(load, slow);
    let wanted: HashSet<_> = slow.into_iter().collect();
    let names = |spans: &[testing::collector::Span]| {
        spans.iter().map(|span| span.name.clone()).collect::<HashSet<_>>()
    };
    backend.wait("each is kept, whole", |c| {
        wanted.iter().all(|trace| {
            let spans: Vec<_> = c.spans().into_iter().filter(|it| it.trace == *trace).collect();
            let names = names(&spans);
            ["POST /graphql", "Query.labSleep"].iter().all(|name| names.contains(*name))
        })
    });
}
