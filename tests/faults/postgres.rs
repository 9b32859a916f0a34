//! A server that is frozen, crashed, out of reach or full.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;
use testing::{
    Db, PATIENCE, Service, allowed, full,
    postgres::{Cluster, number},
    proxy::Proxy,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{CREATE, MACHINE, READ, ask, ask_at_once, recovery};

/// Connections in the service's pool.
const POOL: usize = 16;
/// Pool wait and a second more.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// Statements of the service that are being executed.
const RUNNING: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE application_name = 'colophon' AND state = 'active' AND wait_event_type = 'Lock'";
const IDLE_IN_TRANSACTION: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE application_name = 'colophon' AND state LIKE 'idle in transaction%'";

#[tokio::test(flavor = "multi_thread")]
async fn the_statement_of_an_operation_that_timed_out_is_cancelled() {
    let _machine = MACHINE.lock().await;
    let cluster = Cluster::started();
    let service =
        cluster.db().serve_with(&["--operation-timeout", "1s", "--statement-timeout", "1h"]).await;
    let db = cluster.connect().await;
    let blocker = db.begin().await.unwrap();
    blocker.execute_unprepared("LOCK TABLE book IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for query in [READ, CREATE] {
        let asked = ask(&service.client, &service.url, query, json!({ "t": "One" }));
        let (answer, ()) = tokio::join!(asked, async { while number(&db, RUNNING).await == 0 {} });
        assert_eq!((answer.status, answer.code()), (504, "TIMEOUT"), "{answer:?}");
        let ended = Instant::now();
        while number(&db, RUNNING).await > 0 {
            assert!(ended.elapsed() < allowed(Duration::from_secs(1)), "it goes on");
        }
        println!("cancelled on the server after {:?}", ended.elapsed());
    }
    blocker.rollback().await.unwrap();
    assert!(recovery(&service, 2 * POOL).await < allowed(Duration::from_secs(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_operations_soon_when_the_server_is_frozen() {
    let _machine = MACHINE.lock().await;
    let cluster = Cluster::started();
    let service = cluster.db().serve_with(&["--sample"]).await;
    recovery(&service, POOL).await;
    cluster.signal("-STOP");
    outage(&service).await;
    cluster.signal("-CONT");
    let took = recovery(&service, 4 * POOL).await;
    println!("all connections usable {took:?} after it was continued");
    assert!(took < allowed(Duration::from_secs(5)), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_operations_soon_when_packets_are_dropped() {
    let _machine = MACHINE.lock().await;
    let cluster = Cluster::started();
    let proxy = Proxy::to(cluster.socket()).await;
    let mut db = Db::sqlite();
    db.url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port);
    let service = db.serve_with(&["--sample"]).await;
    recovery(&service, POOL).await;
    proxy.swallow(true);
    outage(&service).await;
    proxy.swallow(false);
    let took = recovery(&service, 4 * POOL).await;
    println!("all connections usable {took:?} after the hole was closed");
    assert!(took < allowed(Duration::from_secs(5)), "{took:?}");
}

/// While the database does not answer, everybody is told so in time.
async fn outage(service: &Service) {
    let (began, long) = (Instant::now(), Duration::from_secs(if full() { 30 } else { 6 }));
    let (mut slowest, mut asked) = (Duration::ZERO, 0);
    while began.elapsed() < long {
        let mut answers = ask_at_once(service, POOL, READ).await;
        answers.extend(ask_at_once(service, POOL, CREATE).await);
        for answer in &answers {
            answer.assert_good_or_unavailable();
            assert!(answer.took < allowed(ANSWERED_WITHIN), "{answer:?}");
            slowest = slowest.max(answer.took);
        }
        asked += answers.len();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = ask(&service.client, &service.url, READ, json!({})).await;
    assert_eq!(refused.code(), "DATABASE_UNAVAILABLE");
    assert_eq!(service.readyz().await, 503);
    println!("{asked} requests during the outage, the slowest answered after {slowest:?}");
    let told = |name| service.log().iter().filter(|event| event["event"] == name).count();
    assert_eq!(told("database.unreachable"), 1);
    assert!(told("graphql.error") <= 2 * POOL, "{}", told("graphql.error"));
}

#[tokio::test(flavor = "multi_thread")]
async fn recovers_from_a_server_crash_within_three_seconds() {
    let _machine = MACHINE.lock().await;
    let cluster = Cluster::started();
    let service = cluster.db().serve().await;
    recovery(&service, POOL).await;
    let mut made = Vec::new();
    for round in 0..3 {
        let began = Instant::now();
        let crash = tokio::task::spawn_blocking({
            let cluster = cluster.url();
            let dir = cluster.rsplit_once("host=").unwrap().1.to_owned();
            move || crash(&dir)
        });
        let mut failed = None;
        let mut number = 0;
        while !crash.is_finished() || began.elapsed() < Duration::from_secs(4) {
            let title = format!("{round}-{number}");
            number += 1;
            let answer = ask(&service.client, &service.url, CREATE, json!({ "t": title })).await;
            answer.assert_good_or_unavailable();
            if answer.is_good() {
                made.push(title);
            } else {
                failed = Some(began.elapsed());
            }
        }
        crash.await.unwrap();
        let took = failed.expect("the crash was seen");
        println!("a crash: the last failure {took:?} after it began");
        assert!(took < allowed(Duration::from_secs(3)), "{took:?}");
    }
    let db = cluster.connect().await;
    for title in &made {
        let found =
            number(&db, &format!("SELECT count(*) FROM book WHERE title = '{title}'")).await;
        assert_eq!(found, 1, "{title} was acknowledged");
    }
}

fn crash(dir: &str) {
    let script = testing::repository().join("scripts/postgres");
    assert!(std::process::Command::new(script).args(["crash", dir]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_the_connections_that_a_full_server_allows() {
    let cluster = Cluster::started();
    let db = cluster.connect().await;
    db.execute_unprepared("ALTER SYSTEM SET max_connections = 20").await.unwrap();
    db.close().await.unwrap();
    cluster.set("crash");
    let service = cluster.db().serve_with(&["--sample"]).await;
    assert!(ask(&service.client, &service.url, READ, json!({})).await.is_good());
    // All that are left.
    let mut others = Vec::new();
    while let Ok(other) = sea_orm::Database::connect(
        sea_orm::ConnectOptions::new(cluster.url()).max_connections(1).to_owned(),
    )
    .await
    {
        others.push(other);
    }
    for _ in 0..20 {
        let answer = ask(&service.client, &service.url, READ, json!({})).await;
        assert!(answer.is_good(), "one after the other they need one connection: {answer:?}");
    }
    let answers = ask_at_once(&service, 2 * POOL, READ).await;
    for answer in &answers {
        answer.assert_good_or_unavailable();
        assert!(answer.took < allowed(ANSWERED_WITHIN), "{answer:?}");
    }
    assert!(answers.iter().any(|answer| !answer.is_good()), "nobody lacked a connection");
    assert_eq!(service.readyz().await, 200);
    for other in others.drain(..) {
        other.close().await.unwrap();
    }
    assert!(recovery(&service, POOL - 1).await < allowed(Duration::from_secs(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_nothing_behind_when_clients_disconnect() {
    let _machine = MACHINE.lock().await;
    let cluster = Cluster::started();
    let service = cluster.db().serve().await;
    recovery(&service, POOL).await;
    let address = service.url.trim_start_matches("http://").to_owned();
    let clients = if full() { 10_000 } else { 500 };
    for number in 0..clients {
        let body = json!({ "query": CREATE, "variables": { "t": format!("Gone {number}") } });
        let body = body.to_string();
        let request = format!(
            "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut client = TcpStream::connect(&address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        // At different moments of the operation.
        tokio::time::sleep(Duration::from_micros((number % 16) * 250)).await;
    }
    let db = cluster.connect().await;
    let began = Instant::now();
    while number(&db, IDLE_IN_TRANSACTION).await > 0 {
        assert!(began.elapsed() < PATIENCE, "a transaction stays open");
    }
    for _ in 0..4 {
        for answer in ask_at_once(&service, 2 * POOL, CREATE).await {
            assert!(answer.is_good(), "{answer:?}");
        }
    }
    assert_eq!(number(&db, IDLE_IN_TRANSACTION).await, 0);
}
