//! PgBouncer between the service and PostgreSQL.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;
use testing::{Db, Service, pgbouncer::PgBouncer, postgres::Cluster, program, stderr, stdout};

use super::{READ, as_owner, event, failure, readiness};

const CLIENTS: usize = 16;
const QUERIES: usize = 400;
const IGNORE: &str = "ignore_startup_parameters = options";

/// What the driver's own parameters take besides: with it, the service was ready before it knew of poolers.
const IGNORE_ALL: &str = "ignore_startup_parameters = options, extra_float_digits";

/// Sends queries of several kinds, so many at a time, and counts the errors.
async fn errors(service: &Service) -> usize {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (http, url) = (service.client.clone(), format!("{}/graphql", service.url));
            tokio::runtime::Handle::current().spawn(async move {
                let mut failed = 0;
                for number in 0..QUERIES / CLIENTS {
                    let title = format!("Book {client} {number}");
                    let create = "mutation($t: String!) { createBook(input: { title: $t, \
                        authors: [{ name: $t }] }) { id } }";
                    let search = "query($t: String!) { search(query: $t) { nodes { title } } }";
                    let query = [READ, create, search, READ][number % 4];
                    let body = json!({ "query": query, "variables": { "t": title } });
                    let response = http.post(&url).json(&body).send().await.unwrap();
                    let answer: serde_json::Value = response.json().await.unwrap();
                    if answer.get("errors").is_some() {
                        failed += 1;
                        println!("{answer}");
                    }
                }
                failed
            })
        })
        .collect();
    let mut failed = 0;
    for client in clients {
        failed += client.await.unwrap();
    }
    failed
}

async fn assert_works_through(settings: &str, arguments: &[&str]) {
    let db = Db::postgres().await;
    let pgbouncer = PgBouncer::start(&db, settings);
    let pooled = pgbouncer.pooled(&db);
    // On a busy machine a sign of life takes long, and operations are rejected until it comes.
    let patient = ["--sample", "--statement-timeout", "700ms", "--pool-wait", "20s"];
    let service = pooled.spawn(&[&patient, arguments].concat());
    service.ready().await;
    assert_eq!(errors(&service).await, 0);
    assert_statements_time_out(&db, &service).await;
    assert_eq!(errors(&service).await, 0);
}

async fn assert_statements_time_out(db: &Db, service: &Service) {
    let connection = sea_orm::Database::connect(&db.url).await.unwrap();
    let blocker = connection.begin().await.unwrap();
    blocker.execute_unprepared("LOCK TABLE book IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let asked = Instant::now();
    let (code, _) = failure(service, "{ books(first: 1) { nodes { id } } }").await;
    assert_eq!(code, "TIMEOUT");
    let took = asked.elapsed();
    assert!(took > Duration::from_millis(600) && took < Duration::from_secs(3), "{took:?}");
    blocker.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn works_through_transaction_pooling() {
    assert_works_through("pool_mode = transaction\ndefault_pool_size = 5", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn works_through_transaction_pooling_that_ignores_options() {
    let settings = format!("pool_mode = transaction\ndefault_pool_size = 5\n{IGNORE}");
    assert_works_through(&settings, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn works_through_transaction_pooling_that_ignores_all_parameters() {
    let settings = format!("pool_mode = transaction\ndefault_pool_size = 5\n{IGNORE_ALL}");
    assert_works_through(&settings, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn works_through_session_pooling() {
    assert_works_through("pool_mode = session", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn works_through_session_pooling_that_ignores_options() {
    assert_works_through(&format!("pool_mode = session\n{IGNORE_ALL}"), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn works_where_the_setting_names_the_pooler() {
    let arguments = ["--pooler", "transaction"];
    assert_works_through("pool_mode = transaction\ndefault_pool_size = 5", &arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_the_pooler() {
    let db = Db::postgres().await;
    let pgbouncer = PgBouncer::start(&db, "pool_mode = transaction");
    let mut service = pgbouncer.pooled(&db).serve().await;
    assert!(event(&mut service, "database.pooler").contains("PgBouncer"));
    let direct = db.serve().await;
    assert!(!direct.log().iter().any(|event| event["event"] == "database.pooler"));
}

#[tokio::test(flavor = "multi_thread")]
async fn is_never_ready_behind_statement_pooling() {
    for settings in ["pool_mode = statement".to_owned(), format!("pool_mode = statement\n{IGNORE}")]
    {
        let db = Db::postgres().await;
        assert!(db.run(&["migrate", "up"]).status.success());
        let pgbouncer = PgBouncer::start(&db, &settings);
        let pooled = pgbouncer.pooled(&db);
        let mut service = pooled.spawn(&[]);
        let line = event(&mut service, "database.unreachable");
        assert!(line.contains("PgBouncer") && line.contains("pool_mode"), "{line}");
        let ready = readiness(&service).await;
        assert_eq!(ready["reason"], "connection pooler not supported", "{ready}");
        assert!(ready["cause"].as_str().unwrap().contains("PgBouncer"), "{ready}");
        let output = pooled.run(&["migrate", "status"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("PgBouncer"), "{}", stderr(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn is_never_ready_where_a_pooler_drops_the_options_of_the_url() {
    for settings in ["pool_mode = transaction", IGNORE_ALL] {
        let db = Db::postgres().await;
        let pgbouncer = PgBouncer::start(&db, settings);
        let mut pooled = pgbouncer.pooled(&db);
        pooled.url += "&options=-c%20search_path%3Dpublic";
        let mut service = pooled.spawn(&[]);
        let line = event(&mut service, "database.unreachable");
        assert!(line.contains("PgBouncer") && line.contains("DATABASE_URL"), "{line}");
        let ready = readiness(&service).await;
        assert!(ready["cause"].as_str().unwrap().contains("PgBouncer"), "{ready}");
    }
}

/// The pooler may be there before the server.
#[tokio::test(flavor = "multi_thread")]
async fn gets_ready_when_the_server_behind_the_pooler_does() {
    let cluster = Cluster::new();
    let db = cluster.db();
    let pgbouncer = PgBouncer::start(&db, "pool_mode = transaction\nserver_login_retry = 0.1");
    let mut service = pgbouncer.pooled(&db).spawn(&["--pool-wait", "5s"]);
    event(&mut service, "database.unreachable");
    cluster.set("start");
    service.ready().await;
    cluster.set("stop");
    while service.readyz().await != 503 {}
    let (code, _) = failure(&service, READ).await;
    assert_eq!(code, "DATABASE_UNAVAILABLE");
    cluster.set("start");
    service.ready().await;
    assert_eq!(errors(&service).await, 0);
}

/// As a pooler does that passes the start-up options on: the server seems to have got them.
#[tokio::test(flavor = "multi_thread")]
async fn finds_a_pooler_by_its_lost_statements() {
    let db = Db::postgres().await;
    assert!(db.run(&["migrate", "up"]).status.success());
    let name = db.url.split(['/', '?']).nth(3).unwrap();
    as_owner(&db, &format!("ALTER DATABASE {name} SET colophon.direct = 'on'")).await;
    let settings = format!("pool_mode = transaction\ndefault_pool_size = 5\n{IGNORE_ALL}");
    let pgbouncer = PgBouncer::start(&db, &settings);
    let mut service = pgbouncer.pooled(&db).serve_with(&["--pool-wait", "20s"]).await;
    let before = errors(&service).await;
    event(&mut service, "database.pooler");
    assert!(before <= 2 * CLIENTS, "{before}");
    assert_eq!(errors(&service).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrates_and_imports_through_a_pooler() {
    let db = Db::postgres().await;
    // One server connection, which all clients share.
    let pgbouncer = PgBouncer::start(&db, "pool_mode = transaction\ndefault_pool_size = 1");
    let pooled = pgbouncer.pooled(&db);
    let rows: Vec<String> = (0..1_500).map(|n| format!("Book {n},Author {n}\n")).collect();
    let file = pooled.file("books.csv", format!("title,author\n{}", rows.concat()));
    for _ in 0..2 {
        for direction in ["up", "down", "up"] {
            let output = pooled.run(&["migrate", direction]);
            assert!(output.status.success(), "{direction}: {}", stderr(&output));
        }
    }
    for added in ["1500 added", "0 added"] {
        let output = pooled.run(&["import", file.to_str().unwrap()]);
        assert!(stdout(&output).contains(added), "{}{}", stdout(&output), stderr(&output));
    }
}

#[test]
fn accepts_urls_without_a_host() {
    for url in [
        "postgres://ada@/books?host=/run/postgresql",
        "postgres://ada:s3cret@/books?host=/run/postgresql",
        "postgresql://ada@:5433/books?host=/run/postgresql",
        "postgres:///books?host=/run/postgresql&user=ada",
    ] {
        let output = program(&["config", "--database-url", url]).output().unwrap();
        assert!(output.status.success(), "{url}: {}", stderr(&output));
        assert!(!stdout(&output).contains("s3cret"), "{}", stdout(&output));
    }
}
