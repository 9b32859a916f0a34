//! Replicas on one PostgreSQL: what is done at one, a subscriber of another is told; and when that may have failed,
//! it is told so.

use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait;
use serde_json::json;
use testing::{
    Db, Service, allowed,
    pgbouncer::PgBouncer,
    postgres::{Cluster, number},
    proxy::Proxy,
    sse::EventStream,
    wait_until,
};
use tokio::time::timeout;

use crate::{KINDS, change, follow, update};

/// Waits for what a subscriber must be told after a failure, whatever else it is told before.
async fn refetch(stream: &mut EventStream) {
    while change(stream).await["kind"] != "REFETCH" {}
}

/// Creates a book, which a subscriber must be told of, whatever else it is told before.
async fn follows(service: &Service, stream: &mut EventStream, title: &str) {
    let id = service.create(json!({ "title": title })).await;
    while change(stream).await["id"] != id.as_str() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_one_arrives_at_another_at_once() {
    let db = Db::postgres().await;
    let (one, another) = (db.serve().await, db.serve().await);
    let (mut here, mut there) = (follow(&one, KINDS).await, follow(&another, KINDS).await);
    let mut times = Vec::new();
    for number in 0..20 {
        let id = one.create(json!({ "title": format!("Book {number}") })).await;
        let answered = Instant::now();
        let created = json!({ "kind": "CREATED", "id": id });
        assert_eq!(change(&mut there).await, created);
        times.push(answered.elapsed());
        assert_eq!(change(&mut here).await, created);
    }
    times.sort();
    println!("from the response at one to the event at another: {:?}", times[times.len() / 2]);
    assert!(times[times.len() / 2] < allowed(Duration::from_millis(100)), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_of_the_listener_is_told() {
    let db = Db::postgres().await;
    let service = db.serve().await;
    let mut stream = follow(&service, KINDS).await;
    follows(&service, &mut stream, "Before").await;
    let beside = sea_orm::Database::connect(&db.url).await.unwrap();
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE application_name = 'colophon listener' AND datname = current_database()";
    assert_eq!(number(&beside, ended).await, 1);
    refetch(&mut stream).await;
    follows(&service, &mut stream, "After").await;
}

/// A message that does not come, though later ones of the same process do.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_numbers_is_told() {
    let db = Db::postgres().await;
    let service = db.serve().await;
    let mut stream = follow(&service, KINDS).await;
    let beside = sea_orm::Database::connect(&db.url).await.unwrap();
    for message in [0, 2] {
        let payload =
            format!(r#"00000000000000aa {message} {{"at":0,"books":[{{"k":"c","id":7,"v":1}}]}}"#);
        let notify = format!("SELECT pg_notify('colophon_changes', '{payload}')");
        beside.execute_unprepared(&notify).await.unwrap();
        assert_eq!(change(&mut stream).await, json!({ "kind": "CREATED", "id": "book_7" }));
    }
    assert_eq!(change(&mut stream).await["kind"], "REFETCH");
    // What cannot be read might have been of any book.
    beside.execute_unprepared("NOTIFY colophon_changes, 'nonsense'").await.unwrap();
    assert_eq!(change(&mut stream).await["kind"], "REFETCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_frozen_or_killed_is_told() {
    let cluster = Cluster::started();
    let db = cluster.db();
    let service = db.serve().await;
    let mut stream = follow(&service, KINDS).await;
    follows(&service, &mut stream, "Before").await;
    cluster.signal("-STOP");
    tokio::time::sleep(Duration::from_secs(3)).await;
    cluster.signal("-CONT");
    refetch(&mut stream).await;
    service.ready().await;
    follows(&service, &mut stream, "After the frost").await;
    cluster.set("crash");
    refetch(&mut stream).await;
    service.ready().await;
    follows(&service, &mut stream, "After the crash").await;
}

/// The network to the server is silent: nothing is closed, and nothing comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_the_listener_that_is_silent_is_told() {
    let cluster = Cluster::started();
    let db = cluster.db();
    let proxy = Proxy::to(cluster.socket()).await;
    let through = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port);
    let service = db.serve_in(&[("COLOPHON_NOTIFICATIONS_URL", &through)]).await;
    let elsewhere = db.serve().await;
    let mut stream = follow(&service, KINDS).await;
    follows(&elsewhere, &mut stream, "Before").await;
    proxy.swallow(true);
    elsewhere.create(json!({ "title": "Unheard" })).await;
    // Who comes meanwhile is not kept waiting for what is not heard.
    let is_refused =
        async || EventStream::request(&service, KINDS, json!({}), None).await.status() == 503;
    wait_until("subscriptions are rejected", is_refused).await;
    proxy.swallow(false);
    refetch(&mut stream).await;
    follows(&elsewhere, &mut stream, "After").await;
}

/// It is sent what it has missed, since its connections live on.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_frozen_misses_nothing() {
    let db = Db::postgres().await;
    let (one, frozen) = (db.serve().await, db.serve().await);
    let mut stream = follow(&frozen, KINDS).await;
    follows(&one, &mut stream, "Before").await;
    frozen.signal("-STOP");
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(one.create(json!({ "title": format!("Book {number}") })).await);
    }
    // For longer than a database may take to answer.
    let early = timeout(Duration::from_secs(3), change(&mut stream)).await;
    assert!(early.is_err(), "a frozen replica sent {early:?}");
    frozen.signal("-CONT");
    for id in ids {
        assert_eq!(change(&mut stream).await, json!({ "kind": "CREATED", "id": id }));
    }
    follows(&one, &mut stream, "After").await;
}

/// What it had committed, others were told.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_takes_nothing_with_it() {
    let db = Db::postgres().await;
    let (mut one, another) = (db.serve().await, db.serve().await);
    let mut stream = follow(&another, KINDS).await;
    let id = one.create(json!({ "title": "One" })).await;
    for number in 0..20 {
        update(&one, &id, &format!("One {number}")).await;
    }
    one.signal("-KILL");
    one.wait();
    for kind in ["CREATED"].into_iter().chain(["UPDATED"; 20]) {
        assert_eq!(change(&mut stream).await["kind"], kind);
    }
}

/// A pooler of transactions takes LISTEN, and nothing comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_the_server_itself_is_listened_to() {
    let db = Db::postgres().await;
    let pooler =
        PgBouncer::start(&db, "pool_mode = transaction\nignore_startup_parameters = options");
    let behind = pooler.pooled(&db);
    let deaf = behind.serve().await;
    assert_eq!(EventStream::request(&deaf, KINDS, json!({}), None).await.status(), 503);
    assert_eq!(EventStream::refusal(&deaf, KINDS, None).await, "DATABASE_UNAVAILABLE");
    let service = behind.serve_in(&[("COLOPHON_NOTIFICATIONS_URL", &db.url)]).await;
    let mut stream = follow(&service, KINDS).await;
    follows(&deaf, &mut stream, "Heard").await;
}
