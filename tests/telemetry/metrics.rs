//! Metrics: recorded once, and the same by OTLP as by the scrape.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use colophon::catalog::metrics::METRICS;
use futures_util::{StreamExt, stream};
use graphql_telemetry::catalog::{self, Kind, Metric};
use serde_json::json;
use testing::{
    Db, PATIENCE, Service,
    collector::{Attributes, Collector, Metrics, Options, Point, observed, prompt},
    sse::EventStream,
};

fn declared() -> BTreeMap<&'static str, &'static Metric> {
    let own = catalog::all().chain(METRICS.iter().copied());
    own.map(|metric| (metric.name, metric)).collect()
}

/// The name by which Prometheus knows a metric.
fn prometheus_name(metric: &Metric) -> String {
    let mut name = metric.name.replace('.', "_");
    match metric.unit {
        "s" => name.push_str("_seconds"),
        "By" => name.push_str("_bytes"),
        _ => {}
    }
    if matches!(metric.kind, Kind::Counter | Kind::Sum) {
        name.push_str("_total");
    }
    name
}

fn prometheus_labels(attributes: &Attributes) -> Attributes {
    attributes.iter().map(|(key, value)| (key.replace('.', "_"), value.clone())).collect()
}

/// What goes on changing while nobody asks for anything.
fn is_moving(name: &str) -> bool {
    ["process.", "tokio.", "otel."].iter().any(|prefix| name.starts_with(prefix))
        && !["tokio.task.time", "tokio.slow_polls"].contains(&name)
}

/// Every kind of operation, with every outcome that needs no broken database, so that every
/// metric of the catalog has something to tell.
async fn known_load(service: &Service) {
    let subscription = "subscription { bookChanged(kinds: [DELETED]) { kind } }";
    let mut stream = EventStream::open(service, subscription, json!({})).await;
    for number in 0..20 {
        let authors = [json!({ "name": format!("Author {}", number % 3) })];
        let book =
            service.create(json!({ "title": format!("Book {number}"), "authors": authors })).await;
        if number % 4 == 0 {
            let document =
                "mutation($id: ID!) { updateBook(id: $id, input: { title: \"New\" }) { id } }";
            service.data(document, json!({ "id": book })).await;
        }
        if number % 5 == 0 {
            service.data("mutation($id: ID!) { deleteBook(id: $id) }", json!({ "id": book })).await;
        }
    }
    for _ in 0..4 {
        stream.data().await;
    }
    for _ in 0..10 {
        let document = "{ books { totalCount nodes { authors { books { totalCount } } } } }";
        service.data(document, json!({})).await;
        service.execute("{ books(first: -1) { totalCount } }", json!({})).await;
        service.execute("{ nonsense }", json!({})).await;
        service.client.get(format!("{}/nowhere", service.url)).send().await.unwrap();
    }
}

async fn both_ways_tell_the_same(db: Db) {
    let collector = Collector::start();
    let service = observed(&db, &collector).await;
    let target = service.admin.trim_start_matches("http://").to_owned();
    let scraping = Collector::start_with(&Options { scrape: Some(&target), ..Options::default() });
    known_load(&service).await;

    let declared = declared();
    let expected = |exports: &Metrics| -> Metrics {
        exports
            .iter()
            .filter(|((name, _), _)| !is_moving(name))
            .map(|((name, attributes), point)| {
                let name = prometheus_name(declared[name.as_str()]);
                ((name, prometheus_labels(attributes)), as_scraped(point))
            })
            .collect()
    };
    // The last exports and the last scrape are of the same moment as soon as they agree, and then
    // they must agree on everything.
    let agree = |_: &Collector| {
        let (exported, scraped) = (expected(&collector.metrics()), of_ours(&scraping.scraped()));
        let is_complete = exported.keys().any(|(name, _)| name == "books_deleted_total");
        (is_complete && difference(&exported, &scraped).is_none()).then_some(exported.len())
    };
    let started = std::time::Instant::now();
    let series = loop {
        if let Some(series) = agree(&collector) {
            break series;
        }
        if started.elapsed() > PATIENCE {
            let exported = expected(&collector.metrics());
            panic!("{}", difference(&exported, &of_ours(&scraping.scraped())).unwrap());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    println!("{}{series} series equal by both ways", table(&collector.metrics(), &declared));

    let names_of = |metrics: &Metrics| -> BTreeSet<String> {
        metrics.keys().map(|(name, _)| name.clone()).collect()
    };
    let exported = names_of(&collector.metrics());
    let all: BTreeSet<String> = declared.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(exported, all, "by OTLP arrives the catalog, and nothing else");
    let scraped: BTreeSet<_> = names_of(&of_ours(&scraping.scraped()));
    let all: BTreeSet<_> = declared.values().map(|metric| prometheus_name(metric)).collect();
    assert_eq!(scraped, all, "by scrape arrives the catalog, and nothing else");
    kinds_are_right(&collector.metrics(), &declared);
}

/// What came, a line for each metric: for `cargo test -- --nocapture`.
fn table(metrics: &Metrics, declared: &BTreeMap<&str, &Metric>) -> String {
    let line = |(name, metric): (&&str, &&Metric)| {
        let points: Vec<_> = metrics
            .iter()
            .filter(|((other, _), _)| other == name)
            .map(|(_, point)| point)
            .collect();
        let total: f64 = points.iter().map(|point| apart(point).0).sum();
        let compared = if is_moving(name) { "there" } else { "equal" };
        let scraped = prometheus_name(metric);
        format!("{name} | {scraped} | {} series | {total:.6} | {compared}\n", points.len())
    };
    declared.iter().map(line).collect()
}

/// Prometheus has no up-down counters.
fn as_scraped(point: &Point) -> Point {
    match point {
        Point::UpDown(value) => Point::Gauge(*value),
        other => other.clone(),
    }
}

/// Without what the scrape itself adds.
fn of_ours(scraped: &Metrics) -> Metrics {
    let is_ours = |name: &str| name != "up" && !name.starts_with("scrape_");
    scraped
        .iter()
        .filter(|((name, _), _)| is_ours(name))
        .map(|(key, point)| (key.clone(), point.clone()))
        .collect()
}

/// The first series of `exported` that was not scraped with the same value.
fn difference(exported: &Metrics, scraped: &Metrics) -> Option<String> {
    exported.iter().find_map(|(key, point)| match scraped.get(key) {
        Some(other) if is_same(point, other) => None,
        other => Some(format!("{key:?}\nby OTLP {point:?}\nscraped {other:?}")),
    })
}

/// Equal in everything; sums of fractions were added up in another order.
fn is_same(exported: &Point, scraped: &Point) -> bool {
    let (sum, rest) = apart(exported);
    let (other_sum, other_rest) = apart(scraped);
    (sum - other_sum).abs() <= 1e-9 * sum.abs().max(1.0) && rest == other_rest
}

/// A point's sum or value, and the point without it.
fn apart(point: &Point) -> (f64, Point) {
    let mut rest = point.clone();
    let (Point::Counter(value)
    | Point::UpDown(value)
    | Point::Gauge(value)
    | Point::Histogram { sum: value, .. }) = &mut rest;
    (std::mem::take(value), rest)
}

fn kinds_are_right(metrics: &Metrics, declared: &BTreeMap<&str, &Metric>) {
    for ((name, attributes), point) in metrics {
        let metric = declared[name.as_str()];
        let is_right = match (metric.kind, point) {
            (Kind::Counter | Kind::Sum, Point::Counter(_))
            | (Kind::UpDown, Point::UpDown(_))
            | (Kind::Gauge, Point::Gauge(_)) => true,
            (Kind::Histogram(bounds), Point::Histogram { bounds: told, .. }) => bounds == told,
            _ => false,
        };
        assert!(is_right, "{name} is {:?}, and came as {point:?}", metric.kind);
        for attribute in attributes.keys() {
            assert!(metric.attributes.contains(&attribute.as_str()), "{name} has {attribute}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_the_same_metrics_both_ways_on_sqlite() {
    both_ways_tell_the_same(Db::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_the_same_metrics_both_ways_on_postgres() {
    both_ways_tell_the_same(Db::postgres().await).await;
}

/// Ten thousand requests that have nothing in common, by whatever a client may choose.
#[tokio::test(flavor = "multi_thread")]
async fn makes_no_series_from_client_input() {
    const REQUESTS: usize = 10_000;
    let service = Db::sqlite().serve().await;
    let ask = |number: usize| {
        let service = &service;
        async move {
            let client = &service.client;
            let id = format!("x{number}");
            let document = format!(
                "query {id} {{ {id}: books(first: {}) {{ n{id}: totalCount }} }}",
                number % 90
            );
            let url = format!("{}/graphql", service.url);
            let body =
                json!({ "query": document, "variables": { (&id): id }, "operationName": id });
            client.post(url).header(format!("x-{id}"), &id).json(&body).send().await.unwrap();
            let url = format!("{}/{id}?{id}={id}", service.url);
            let method =
                if number.is_multiple_of(50) { format!("M{number}") } else { "GET".to_owned() };
            client.request(method.parse().unwrap(), url).send().await.unwrap();
        }
    };
    // Each kind of request once, whose series may come into being.
    ask(REQUESTS).await;
    ask(REQUESTS + 1).await;
    ask(REQUESTS + 50).await;
    let before = series(&service.scrape().await);
    stream::iter(0..REQUESTS).for_each_concurrent(32, ask).await;
    let scrape = service.scrape().await;
    let new: Vec<_> = series(&scrape).difference(&before).cloned().collect();
    assert!(new.is_empty(), "{new:#?}");
    assert!(scrape.len() < 1_000_000, "{} bytes", scrape.len());
    println!("{} series in {} bytes", before.len(), scrape.len());
}

/// Names and labels, without values.
fn series(scrape: &str) -> BTreeSet<String> {
    let lines = scrape.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scrape_says_what_it_is() {
    let service = Db::sqlite().serve().await;
    service.data("{ __typename }", json!({})).await;
    let response = service.client.get(format!("{}/metrics", service.admin)).send().await.unwrap();
    assert!(
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let text = response.text().await.unwrap();
    for line in [
        "# TYPE http_server_request_duration_seconds histogram",
        "# TYPE graphql_server_errors_total counter",
        "graphql_server_errors_total{error_type=\"TIMEOUT\"} 0",
        "# TYPE db_client_connection_count gauge",
        "books_created_total 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
    }
    let public = service.client.get(format!("{}/metrics", service.url)).send().await.unwrap();
    assert_eq!(public.status(), 404, "metrics are not for the public");
}

/// Nothing is counted or traced, and the service serves.
#[tokio::test(flavor = "multi_thread")]
async fn everything_can_be_switched_off() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    variables.push(("OTEL_SDK_DISABLED", "true"));
    let mut service = Db::sqlite().serve_in(&variables).await;
    let (trace, answer) = service.traced("{ books { totalCount } }", json!({})).await;
    assert_eq!((trace.as_str(), &answer["data"]["books"]["totalCount"]), ("", &json!(0)));
    let metrics = service.client.get(format!("{}/metrics", service.admin)).send().await.unwrap();
    assert_eq!(metrics.status(), 404);
    service.signal("-TERM");
    assert!(service.wait().success());
    assert_eq!(collector.raw(), "");
}

/// Connections are counted while they are held, and no longer.
#[tokio::test(flavor = "multi_thread")]
async fn decrements_gauges_when_a_client_disconnects() {
    let db = Db::postgres().await;
    let mut service = db.serve().await;
    let connection = sea_orm::Database::connect(&db.url).await.unwrap();
    let lock = {
        use sea_orm::{ConnectionTrait, TransactionTrait};
        let transaction = connection.begin().await.unwrap();
        transaction.execute_unprepared("LOCK TABLE book").await.unwrap();
        transaction
    };
    let request = service
        .client
        .post(format!("{}/graphql", service.url))
        .json(&json!({ "query": "{ books { nodes { id } } }" }))
        .timeout(Duration::from_millis(500));
    let (hung_up, ()) = tokio::join!(request.send(), until(&service, true));
    assert!(hung_up.is_err());
    until(&service, false).await;
    drop(lock);
    let gone = service.wait_for_log("the access line", |line| line["event"] == "http.access");
    assert_eq!(gone["message"], "the client went away");
    assert!(gone["trace_id"].is_string(), "{gone}");
}

/// Waits until an operation, its request and its connection are counted, or none is.
async fn until(service: &Service, is_there: bool) {
    let gauges = [
        "http_server_active_requests{http_request_method=\"POST\",url_scheme=\"http\"}",
        "graphql_server_active_requests{graphql_operation_type=\"query\"}",
        "db_client_connection_count{db_client_connection_pool_name=\"postgres\",\
         db_client_connection_state=\"used\"}",
    ];
    let value = if is_there { "1" } else { "0" };
    let started = std::time::Instant::now();
    loop {
        let scrape = service.scrape().await;
        if gauges.iter().all(|gauge| scrape.contains(&format!("{gauge} {value}\n"))) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "not {value}: {scrape}");
        tokio::task::yield_now().await;
    }
}
