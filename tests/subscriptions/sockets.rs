//! Subscriptions on WebSockets, beside other operations.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::{
    Db, allowed,
    socket::{Client, metric, metric_is},
    sse::{EventStream, StreamEvent},
    wait_until,
};

use crate::{ALL, KINDS, active, follow, update};

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_lasts_until_its_client_completes_it() {
    let service = Db::sqlite().serve().await;
    let mut client = Client::hello(&service).await;
    client.subscribe("a", ALL).await;
    client.subscribe("b", KINDS).await;
    active(&service, 2.0).await;
    let id = service.create(json!({ "title": "One" })).await;
    let mut heard = [client.hear().await, client.hear().await];
    heard.sort_by_key(|message| message["id"].to_string());
    let url = format!("{}/debug/api/subscriptions", service.admin);
    let listed: Value = service.client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(listed["open"], 2);
    let first = &listed["subscriptions"][0];
    assert_eq!(
        (&first["root_field"], &first["events"], &first["dropped"]),
        (&json!("Subscription.bookChanged"), &json!(1), &json!(0))
    );
    let [a, b] = &heard;
    assert_eq!(a["payload"]["data"]["bookChanged"]["book"]["title"], "One");
    assert_eq!((&b["type"], &b["id"]), (&json!("next"), &json!("b")));
    let created = json!({ "bookChanged": { "kind": "CREATED", "id": id } });
    assert_eq!(b["payload"]["data"], created);
    client.say(json!({ "type": "complete", "id": "a" })).await;
    active(&service, 1.0).await;
    update(&service, &id, "Two").await;
    assert_eq!(client.hear().await["id"], "b");
    // The id is free again.
    client.subscribe("a", "{ books { totalCount } }").await;
    client.answer("a").await;
    client.close().await;
    active(&service, 0.0).await;
    let reason = ["graphql_subscription_end_reason=\"client\""];
    metric_is(&service, "graphql_server_subscription_ended_total", &reason, 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_read_however_much_waits() {
    let limits = ["--lab", "--max-socket-operations", "2", "--operation-timeout", "30s"];
    let service = Db::sqlite().serve_with(&limits).await;
    let mut client = Client::hello(&service).await;
    for id in ["1", "2", "3", "4"] {
        client.subscribe(id, "{ labSleep(ms: 10000) }").await;
    }
    let started = Instant::now();
    client.say(json!({ "type": "ping" })).await;
    assert_eq!(client.hear().await, json!({ "type": "pong" }));
    for id in ["1", "3", "2"] {
        client.say(json!({ "type": "complete", "id": id })).await;
    }
    client.subscribe("5", "{ books { totalCount } }").await;
    client.answer("5").await;
    assert!(started.elapsed() < allowed(Duration::from_secs(2)), "{:?}", started.elapsed());
    // What waits is bounded, too.
    let limits = [&limits[..], &["--max-body", "1000"]].concat();
    let service = Db::sqlite().serve_with(&limits).await;
    let mut client = Client::hello(&service).await;
    let long = format!("{{ labSleep(ms: 10000) }} # {}", "x".repeat(600));
    for id in ["1", "2", "3", "4"] {
        client.subscribe(id, &long).await;
    }
    assert_eq!(client.refusal("4").await[0]["extensions"]["code"], "OVERLOADED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_completes_subscriptions() {
    let mut service = Db::sqlite().serve().await;
    let mut client = Client::hello(&service).await;
    client.subscribe("a", KINDS).await;
    let mut stream = follow(&service, KINDS).await;
    active(&service, 2.0).await;
    service.signal("-TERM");
    assert_eq!(client.hear().await, json!({ "type": "complete", "id": "a" }));
    assert_eq!(client.closed().await.0, 1001);
    assert_eq!(stream.next().await, Some(StreamEvent::Complete));
    assert_eq!(stream.next().await, None);
    assert!(service.wait().success());
}

/// A thousand that are opened and closed, of either transport.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_subscriptions_that_ended() {
    let service = Db::sqlite().serve().await;
    let tasks = async || metric(&service, "tokio_tasks_alive", &[]).await;
    let before = tasks().await;
    for _ in 0..500 {
        drop(EventStream::open(&service, KINDS, json!({})).await);
    }
    for _ in 0..50 {
        let mut socket = Client::hello(&service).await;
        socket.subscribe("1", ALL).await;
        drop(socket);
    }
    let mut client = Client::hello(&service).await;
    for number in 0..450 {
        client.subscribe(&number.to_string(), ALL).await;
        client.say(json!({ "type": "complete", "id": number.to_string() })).await;
    }
    client.subscribe("last", "{ books { totalCount } }").await;
    client.answer("last").await;
    client.close().await;
    active(&service, 0.0).await;
    metric_is(&service, "websocket_server_active_connections", &[], 0.0).await;
    metric_is(&service, "graphql_server_subscription_queue", &[], 0.0).await;
    wait_until("the tasks are as many as before", async || tasks().await <= before + 2.0).await;
}
