//! Each field of the laboratory, by the trace, the metrics and the log lines it leaves.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use testing::{
    Db, PATIENCE, Service,
    collector::{Collector, Span},
    on_both_databases,
};

use crate::{lab, number, observed_lab, series};

/// Runs a document and returns its trace and the span of its operation.
async fn operation(collector: &Collector, service: &Service, document: &str) -> (Vec<Span>, Span) {
    let (trace, answer) = service.traced(document, json!({})).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    let spans = collector.trace(&trace);
    let operation = spans.iter().find(|span| span.name == "query").unwrap().clone();
    (spans, operation)
}

/// Where an operation's time went: busy, scheduled, idle, in seconds. They are all of it.
fn states(operation: &Span) -> (f64, f64, f64) {
    let state = |name: &str| number(operation, &format!("tokio.task.{name}"));
    let (busy, scheduled, idle) = (state("busy"), state("scheduled"), state("idle"));
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let whole = (operation.ended - operation.started) as f64 / 1e9;
    let sum = busy + scheduled + idle;
    assert!((sum - whole).abs() <= 0.05 * whole, "{sum} of {whole}: {operation:#?}");
    (busy, scheduled, idle)
}

/// The reports of slow polls in the name of a field.
fn slow_polls(service: &Service, coordinate: &str) -> Vec<Value> {
    let is_it = |event: &Value| {
        event["event"] == "tokio.slow_poll"
            && event["graphql.selection.field.coordinate"] == coordinate
    };
    service.log().into_iter().filter(is_it).collect()
}

async fn holds_a_worker(field: &str) {
    let collector = Collector::start();
    let mut service = observed_lab(&Db::sqlite(), &collector).await;
    let (spans, operation) =
        operation(&collector, &service, &format!("{{ {field}(ms: 300) }}")).await;
    let (busy, _, idle) = states(&operation);
    assert!(busy >= 0.3 && idle < 0.05, "{operation:#?}");
    assert!(number(&operation, "tokio.task.longest_poll") >= 0.3, "{operation:#?}");
    assert_eq!(operation.attribute("tokio.task.slow_polls"), "1");

    let coordinate = format!("Query.{field}");
    let report = service.wait_for_log("the slow poll", |event| {
        event["event"] == "tokio.slow_poll"
            && event["graphql.selection.field.coordinate"] == *coordinate
    });
    assert_eq!(slow_polls(&service, &coordinate).len(), 1, "reported once");
    let span = spans.iter().find(|span| span.name == coordinate).unwrap();
    assert_eq!(report["level"], "WARN");
    assert_eq!(report["tokio.task.operation"], format!("query {coordinate}"));
    assert_eq!(report["trace_id"], operation.trace);
    assert_eq!(report["span_id"], operation.id);
    assert_eq!(report["graphql.selection.field.span_id"], span.id);
    assert_eq!(report["tokio.poll.ended"], false, "it was reported while it lasted");
    let worker = report["tokio.worker"].as_str().unwrap();
    assert!(["0", "1"].contains(&worker), "{report}");
    // The same event, at the collector.
    collector.wait("the record of the slow poll", |collector| {
        let is_it =
            |event: &str, trace: &str| event == "tokio.slow_poll" && trace == operation.trace;
        collector.records().iter().any(|record| is_it(&record.event, &record.trace))
    });
    let counter = format!("tokio_slow_polls_total{{graphql_root_field=\"{coordinate}\"}}");
    assert_eq!(series(&service.scrape().await, &counter), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_a_field_that_blocks() {
    holds_a_worker("labBlock").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_a_field_that_spins() {
    holds_a_worker("labSpin").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_the_whole_time_of_a_short_slow_poll() {
    let mut service = lab(&Db::sqlite()).await;
    // Slow, and over before the watchdog looks.
    service.data("{ labBlock(ms: 20) }", json!({})).await;
    let report = service.wait_for_log("the slow poll", |event| {
        event["graphql.selection.field.coordinate"] == "Query.labBlock"
    });
    let duration = report["tokio.poll.duration"].as_f64().unwrap();
    assert!(duration >= 0.02, "{report}");
    assert_eq!(report["tokio.poll.ended"], duration < 0.035, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_sleeping_as_idle() {
    let collector = Collector::start();
    let service = observed_lab(&Db::sqlite(), &collector).await;
    let (_, operation) = operation(&collector, &service, "{ labSleep(ms: 300) }").await;
    let (_, _, idle) = states(&operation);
    assert!(idle >= 0.28, "{operation:#?}");
    assert!(slow_polls(&service, "Query.labSleep").is_empty());
}

on_both_databases! {
    async fn counts_slow_sql_as_idle(db: Db) {
        let collector = Collector::start();
        let service = observed_lab(&db, &collector).await;
        let (spans, operation) =
            operation(&collector, &service, "{ labSlowSql(ms: 150) }").await;
        let (busy, scheduled, idle) = states(&operation);
        assert!(idle > 5.0 * (busy + scheduled) && idle > 0.1, "{operation:#?}");
        let statement = spans.iter().find(|span| span.kind == 3).unwrap();
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        let took = (statement.ended - statement.started) as f64 / 1e9;
        assert!(took > 0.9 * idle, "{took} of {idle}");
    }

    async fn shows_n_plus_one(db: Db) {
        let collector = Collector::start();
        let service = observed_lab(&db, &collector).await;
        for number in 0..12 {
            let authors = [json!({ "name": format!("Author {number}") })];
            service.create(json!({ "title": format!("Book {number}"), "authors": authors })).await;
        }
        let (spans, _) = operation(&collector, &service, "{ labNPlusOne(first: 12) }").await;
        let field = spans.iter().find(|span| span.name == "Query.labNPlusOne").unwrap();
        let of_field = spans.iter().filter(|span| span.parent == field.id).count();
        assert_eq!(of_field, 13, "one for the list, and one for each book");
        let sum = "graphql_server_request_db_statements_sum\
                   {graphql_root_field=\"Query.labNPlusOne\"}";
        assert_eq!(series(&service.scrape().await, sum), Some(13.0));
    }

    async fn waits_for_an_exhausted_pool(db: Db) {
        let collector = Collector::start();
        let service = observed_lab(&db, &collector).await;
        let exhaust = service.traced("{ labExhaustPool(ms: 600) }", json!({}));
        let waits = async {
            let pool = if db.is_sqlite() { "reader" } else { "postgres" };
            let pending = format!(
                "db_client_connection_pending_requests\
                 {{db_client_connection_pool_name=\"{pool}\"}}"
            );
            let used = format!(
                "db_client_connection_count{{db_client_connection_pool_name=\"{pool}\",\
                 db_client_connection_state=\"used\"}}"
            );
            wait_until(&service, &used, |used| used >= 16.0).await;
            let (traced, ()) = tokio::join!(
                operation(&collector, &service, "{ books(first: 1) { totalCount } }"),
                wait_until(&service, &pending, |pending| pending >= 1.0),
            );
            traced
        };
        let (_, (spans, operation)) = tokio::join!(exhaust, waits);
        let wait = spans.iter().find(|span| span.name == "db.pool.acquire").unwrap();
        assert!(wait.ended - wait.started > 50_000_000, "{wait:#?}");
        let (_, _, idle) = states(&operation);
        assert!(idle > 0.05, "{operation:#?}");
    }
}

/// Scrapes until the value of a series is as wanted.
async fn wait_until(service: &Service, name: &str, is_right: impl Fn(f64) -> bool) {
    let started = std::time::Instant::now();
    loop {
        let scrape = service.scrape().await;
        if series(&scrape, name).is_some_and(&is_right) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{name} is never right:\n{scrape}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How many waits for a worker were longer than 2^24 ns, about 17 ms.
async fn long_waits(service: &Service) -> f64 {
    let scrape = service.scrape().await;
    let up_to = |le: &str| {
        let name = format!("tokio_schedule_latency_seconds_bucket{{le=\"{le}\"}}");
        series(&scrape, &name).unwrap_or_else(|| panic!("no {name} in:\n{scrape}"))
    };
    up_to("+Inf") - up_to("0.016777216")
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_starved_workers() {
    let collector = Collector::start();
    let service = observed_lab(&Db::sqlite(), &collector).await;
    let before = long_waits(&service).await;
    let starved = AtomicBool::new(true);
    let starve = async {
        service.data("{ labStarve(ms: 3000) }", json!({})).await;
        starved.store(false, Ordering::Relaxed);
    };
    let operations = async {
        let mut traces = Vec::new();
        while starved.load(Ordering::Relaxed) {
            let document = "{ books(first: 5) { nodes { title } } }";
            traces.push(service.traced(document, json!({})).await.0);
        }
        traces
    };
    let ((), traces) = tokio::join!(starve, operations);
    collector.trace(traces.last().unwrap());
    let spans = collector.spans();
    let is_one = |span: &&Span| span.name == "query" && traces.contains(&span.trace);
    let scheduled = spans.iter().filter(is_one).map(|span| number(span, "tokio.task.scheduled"));
    let longest = scheduled.fold(0.0, f64::max);
    assert!(longest > 0.002, "none of {} waited longer than {longest} s", traces.len());
    assert!(long_waits(&service).await > before, "schedule latency");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_a_leaked_task() {
    let collector = Collector::start();
    let service = observed_lab(&Db::sqlite(), &collector).await;
    let tasks = async || series(&service.scrape().await, "tokio_tasks_alive").unwrap();
    let before = tasks().await;
    for _ in 0..20 {
        service.data("{ labLeak }", json!({})).await;
    }
    assert!(tasks().await >= before + 20.0);
    let (trace, _) = service.traced("{ labLeak }", json!({})).await;
    let spans = collector.trace(&trace);
    assert_eq!(spans.len(), 4, "the trace ends although the task does not: {spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hides_lab_fields_by_default() {
    let db = Db::sqlite();
    let service = db.serve().await;
    assert_eq!(service.code("{ labBlock }", json!({})).await, "GRAPHQL_VALIDATION_FAILED");
    let refused = db.run(&["serve", "--lab", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = testing::stderr(&refused);
    assert!(told.contains("--lab") && told.contains("loopback"), "{told}");
}
