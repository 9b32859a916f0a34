//! Health: `colophon health`, `/livez`, `/readyz`, and a database that comes and goes.

use std::time::{Duration, Instant};

use serde_json::json;
use testing::{Db, Service, allowed, postgres::Cluster, program, stderr, stdout};

use crate::{code, post, send};

/// What `colophon health` says of a service.
fn health(service: &Service) -> std::process::Output {
    let address = service.admin.trim_start_matches("http://");
    program(&["health", "--admin-listen", address]).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_health_by_the_exit_code() {
    let mut service = Db::sqlite().serve().await;
    let ready = health(&service);
    assert!(ready.status.success(), "{}", stderr(&ready));
    assert!(stdout(&ready).contains("ready"));
    service.signal("-TERM");
    service.wait();
    let gone = health(&service);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("cannot be asked"), "{}", stderr(&gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn becomes_ready_when_postgres_appears() {
    let cluster = Cluster::new();
    let service = cluster.db().spawn(&["--sample"]);
    let livez = service.client.get(format!("{}/livez", service.admin)).send().await.unwrap();
    assert_eq!(livez.status(), 200);
    assert_eq!(service.readyz().await, 503);
    let health = health(&service);
    assert_eq!(health.status.code(), Some(1));
    assert!(stderr(&health).contains("not ready"), "{}", stderr(&health));
    let (status, answer) =
        send(post(&service, &json!({ "query": "{ books { totalCount } }" }))).await;
    assert_eq!((status.as_u16(), code(&answer)), (503, "DATABASE_UNAVAILABLE"));
    assert!(answer.get("data").is_none() && !answer.to_string().contains("sock"), "{answer}");

    cluster.set("start");
    assert!(service.ready().await < allowed(Duration::from_secs(3)));
    service.create(json!({ "title": "One" })).await;

    cluster.set("stop");
    while service.readyz().await != 503 {}
    let started = Instant::now();
    let (status, answer) =
        send(post(&service, &json!({ "query": "{ books { totalCount } }" }))).await;
    assert_eq!((status.as_u16(), code(&answer)), (503, "DATABASE_UNAVAILABLE"));
    assert!(started.elapsed() < allowed(Duration::from_secs(2)), "pool wait and a second");
    assert!(!answer.to_string().to_lowercase().contains("postgres"), "{answer}");
    cluster.set("start");
    assert!(service.ready().await < allowed(Duration::from_secs(3)));
    service.create(json!({ "title": "Two" })).await;
    let logged =
        service.log().iter().filter(|event| event["event"] == "database.unreachable").count();
    assert_eq!(logged, 2, "each outage is logged once, not at every try");
}
