//! Work that comes with no request is traced, too: imports, migrations, the start, the end, outages.

use std::{
    collections::BTreeSet,
    process::Output,
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, Database, TransactionTrait};
use testing::{
    Db, PATIENCE,
    collector::{Collector, Span, prompt},
    postgres::{Cluster, number},
    stderr, stdout,
};
use tokio::time::sleep;

const BOOKS: &str = "title,authors\nOne,First Author\nTwo,Second Author\n";

/// Runs a command that exports to the collector.
fn run(db: &Db, collector: &Collector, arguments: &[&str]) -> Output {
    db.command(arguments).envs(prompt(&collector.http)).output().unwrap()
}

/// Waits for spans of this name.
fn named(collector: &Collector, name: &str) -> Vec<Span> {
    collector.wait_for(name, PATIENCE, |collector| {
        let spans = collector.spans().into_iter().filter(|span| span.name == name);
        Some(spans.collect::<Vec<_>>()).filter(|spans| !spans.is_empty())
    })
}

fn only(mut spans: Vec<Span>) -> Span {
    assert_eq!(spans.len(), 1, "{spans:#?}");
    spans.remove(0)
}

fn traces_an_import_and_its_migrations(db: &Db) {
    let collector = Collector::start();
    let file = db.file("books.csv", BOOKS);
    let output = run(db, &collector, &["import", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("2 added"), "{}", stdout(&output));
    // Standard output is for data, and nothing went wrong.
    assert!(!stdout(&output).contains('{'), "{}", stdout(&output));
    assert_eq!(stderr(&output), "");

    let import = only(named(&collector, "import books"));
    assert_eq!((import.parent.as_str(), import.attribute("import.added")), ("", "2"));
    let integer = r#"{"key":"import.added","value":{"intValue":"2"}}"#;
    assert!(collector.raw().contains(integer), "{}", collector.raw());
    let batch = only(named(&collector, "import batch"));
    assert_eq!((&batch.parent, batch.attribute("import.rows")), (&import.id, "2"));
    let up = only(named(&collector, "migrate database"));
    assert_ne!(up.trace, import.trace);
    let migrations = named(&collector, "apply migration");
    assert_eq!(migrations.len(), 3, "{migrations:#?}");
    for migration in &migrations {
        assert_eq!(migration.parent, up.id);
        assert!(migration.attribute("migration.name").starts_with("m2026"));
    }

    // Nothing is to be migrated the second time.
    assert!(run(db, &collector, &["import", file.to_str().unwrap()]).status.success());
    collector.wait("the second import", |it| {
        it.spans().iter().filter(|span| span.name == "import books").count() == 2
    });
    assert_eq!(named(&collector, "apply migration").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_an_import_and_its_migrations_on_sqlite() {
    traces_an_import_and_its_migrations(&Db::sqlite());
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_an_import_and_its_migrations_on_postgres() {
    traces_an_import_and_its_migrations(&Db::postgres().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_slow_statements_of_an_import_have_spans() {
    let (db, collector) = (Db::postgres().await, Collector::start());
    assert!(db.run(&["migrate", "up"]).status.success());
    let file = db.file("books.csv", BOOKS);
    let other = Database::connect(&db.url).await.unwrap();
    // What the import waits for has a span, and what it does not wait for has none.
    let blocker = other.begin().await.unwrap();
    blocker.execute_unprepared("LOCK TABLE book_author IN EXCLUSIVE MODE").await.unwrap();
    let mut command = db.command(&["import", file.to_str().unwrap()]);
    let mut import = command.envs(prompt(&collector.http)).spawn().unwrap();
    let started = Instant::now();
    let waits = "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database \
                 WHERE datname = current_database() AND NOT granted";
    while number(&other, waits).await == 0 {
        assert!(started.elapsed() < PATIENCE, "the import waits for no lock");
        sleep(Duration::from_millis(10)).await;
    }
    // So much longer than it takes to have a span.
    sleep(Duration::from_millis(10)).await;
    blocker.rollback().await.unwrap();
    assert!(import.wait().unwrap().success());
    let batch = only(named(&collector, "import batch"));
    // The last one to end.
    named(&collector, "import books");
    let spans = collector.spans();
    let below: Vec<_> = spans.iter().filter(|span| span.parent == batch.id).collect();
    assert!(below.iter().any(|span| span.name.starts_with("INSERT book_author")), "{below:#?}");
    let is_slow = |span: &&Span| span.ended - span.started >= 5_000_000;
    assert!(below.iter().all(is_slow), "{below:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_a_failed_import_as_an_error() {
    let (db, collector) = (Db::sqlite(), Collector::start());
    let file = db.file("books.csv", "author\nNo title\n");
    let output = run(&db, &collector, &["import", file.to_str().unwrap()]);
    assert!(!output.status.success());
    assert_eq!(only(named(&collector, "import books")).status, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_reject_settings_that_cannot_be_used() {
    let db = Db::sqlite();
    let output =
        db.command(&["migrate", "up"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere").output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_the_start_and_the_drain() {
    let (db, collector) = (Db::sqlite(), Collector::start());
    let mut service = db.serve_in(&prompt(&collector.http)).await;
    let prepare = only(named(&collector, "prepare database"));
    assert_eq!(only(named(&collector, "migrate database")).parent, prepare.id);
    service.signal("-TERM");
    assert!(service.wait().success());
    let drain = only(named(&collector, "drain"));
    assert_eq!((drain.parent.as_str(), drain.attribute("drain.complete")), ("", "true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_no_spans_of_tracing_where_the_filter_is_off() {
    let (db, collector) = (Db::sqlite(), Collector::start());
    let mut variables = prompt(&collector.http);
    variables.push(("COLOPHON_TRACE_FILTER", "off"));
    let mut service = db.serve_in(&variables).await;
    let (trace, _) = service.traced("{ __typename }", serde_json::json!({})).await;
    service.signal("-TERM");
    assert!(service.wait().success());
    collector.wait("the request", |it| !it.trace(&trace).is_empty());
    assert!(collector.spans().iter().all(|span| span.trace == trace));
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_spans_of_libraries_where_the_filter_asks_for_them() {
    let (db, collector) = (Db::sqlite(), Collector::start());
    let mut variables = prompt(&collector.http);
    variables.push(("COLOPHON_TRACE_FILTER", "tokio::task=trace"));
    let mut service = db.serve_in(&variables).await;
    service.signal("-TERM");
    assert!(service.wait().success());
    // tokio's own, of each task; and none of the service's.
    named(&collector, "runtime.spawn");
    let names: BTreeSet<_> = collector.spans().into_iter().map(|span| span.name).collect();
    let is_own = |name: &str| names.contains(name);
    assert!(!is_own("prepare database") && !is_own("drain"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_an_outage_of_the_database() {
    let (cluster, collector) = (Cluster::started(), Collector::start());
    let db = cluster.db();
    let mut service = db.serve_in(&prompt(&collector.http)).await;
    cluster.set("stop");
    service.wait_for_log("the outage", |line| line["event"] == "database.unreachable");
    cluster.set("start");
    let outage = only(named(&collector, "database outage"));
    assert_eq!(outage.parent, "");
    assert!(outage.attributes.contains_key("error.type"), "{outage:?}");
    assert!(outage.ended > outage.started);
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_the_fetch_of_signing_keys() {
    let (db, collector) = (Db::sqlite(), Collector::start());
    let mut variables = prompt(&collector.http);
    variables.extend([
        ("COLOPHON_JWT_KEYS", "http://127.0.0.1:1/keys"),
        ("COLOPHON_JWT_ISSUER", "https://issuer.example/"),
        ("COLOPHON_JWT_AUDIENCE", "books"),
    ]);
    let _service = db.serve_in(&variables).await;
    let fetch = named(&collector, "fetch signing keys").remove(0);
    assert_eq!((fetch.kind, fetch.status), (3, 2));
    assert_eq!(fetch.attribute("server.address"), "127.0.0.1");
}
