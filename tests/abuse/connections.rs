//! Connections: their limits in all and for each peer, who gives way, and descriptors.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use serde_json::json;
use testing::{Db, PATIENCE, Service, allowed, probe::Probe, wait_until};

use crate::{
    http::{Connection, allow_many_sockets, half_head, peer, post},
    turn,
};

const SMALL: &str = "{ books(first: 1) { nodes { id } } }";

/// How many connections were closed for a reason.
pub async fn closed(service: &Service, reason: &str) -> u64 {
    value(service, &format!("http_server_connections_closed_total{{error_type=\"{reason}\"}}"))
        .await
}

/// The value of a series; 0 if nothing was recorded yet.
pub async fn value(service: &Service, series: &str) -> u64 {
    let scrape = service.scrape().await;
    let line = scrape.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_connections_of_a_peer() {
    let _turn = turn().await;
    let service = Db::sqlite().serve_with(&["--sample", "--max-connections-per-peer", "3"]).await;
    let (greedy, other) = (peer(1), peer(2));
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut connection = Connection::from(greedy, &service).await.unwrap();
        assert_eq!(connection.ask(&post(SMALL)).await.unwrap().status, 200);
        held.push(connection);
    }
    assert_eq!(closed(&service, "peer_limit").await, 0);
    Connection::from(greedy, &service).await.unwrap().closed().await;
    assert_eq!(closed(&service, "peer_limit").await, 1);
    let mut connection = Connection::from(other, &service).await.unwrap();
    assert_eq!(connection.ask(&post(SMALL)).await.unwrap().status, 200);

    held.pop();
    wait_until("the peer's place", async || {
        let mut connection = Connection::from(greedy, &service).await.unwrap();
        connection.ask(&post(SMALL)).await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    for mut connection in held {
        assert_eq!(connection.ask(&post(SMALL)).await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_clients_behind_a_trusted_proxy() {
    let _turn = turn().await;
    let arguments =
        ["--sample", "--lab", "--max-connections-per-peer", "2", "--trusted-proxies", "127.1.0.1"];
    let service = Db::sqlite().serve_with(&arguments).await;
    let from = |client: &str, query| {
        let request = String::from_utf8(post(query)).unwrap();
        let forwarded = format!("Host: localhost\r\nX-Forwarded-For: 198.51.100.9, {client}\r\n");
        request.replacen("Host: localhost\r\n", &forwarded, 1).into_bytes()
    };
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::from(peer(1), &service).await.unwrap();
        connection.send(from("192.0.2.7:4711", "{ labSleep(ms: 3000) }")).await.unwrap();
        busy.push(connection);
    }
    wait_until("the operations", async || {
        value(&service, "graphql_server_active_requests{graphql_operation_type=\"query\"}").await
            == 2
    })
    .await;
    let mut proxy = Connection::from(peer(1), &service).await.unwrap();
    let answer = proxy.ask(&from("192.0.2.7", SMALL)).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (429, "OVERLOADED"));
    assert!(answer.head.to_lowercase().contains("retry-after: 1"), "{}", answer.head);
    assert_eq!(proxy.ask(&from("192.0.2.8", SMALL)).await.unwrap().status, 200);
    for mut connection in busy {
        assert_eq!(connection.response().await.unwrap().status, 200);
    }
    assert_eq!(proxy.ask(&from("192.0.2.7", SMALL)).await.unwrap().status, 200);
    // From others the header changes nothing.
    let mut held = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2"] {
        let mut connection = Connection::from(peer(2), &service).await.unwrap();
        assert_eq!(connection.ask(&from(client, SMALL)).await.unwrap().status, 200);
        held.push(connection);
    }
    assert_eq!(closed(&service, "peer_limit").await, 0);
    Connection::from(peer(2), &service).await.unwrap().closed().await;
    assert_eq!(closed(&service, "peer_limit").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn evicts_idle_connections_and_not_busy_ones() {
    let _turn = turn().await;
    let arguments = ["--sample", "--lab", "--max-connections", "2"];
    let service = Db::sqlite().serve_with(&arguments).await;
    let mut silent = Connection::from(peer(1), &service).await.unwrap();
    let mut busy = Connection::from(peer(2), &service).await.unwrap();
    busy.send(post("{ labSleep(ms: 3000) }")).await.unwrap();
    wait_until("the operation", async || {
        value(&service, "graphql_server_active_requests{graphql_operation_type=\"query\"}").await
            == 1
    })
    .await;
    let mut new = Connection::from(peer(3), &service).await.unwrap();
    assert_eq!(new.ask(&post(SMALL)).await.unwrap().status, 200);
    assert_eq!(closed(&service, "evicted").await, 1);
    silent.closed().await;
    assert_eq!(busy.response().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_silent_and_idle_connections() {
    let _turn = turn().await;
    let arguments = ["--sample", "--request-timeout", "3s", "--keep-alive", "6s"];
    let service = Db::sqlite().serve_with(&arguments).await;
    let started = Instant::now();
    let mut silent = Connection::from(peer(1), &service).await.unwrap();
    let mut half = Connection::from(peer(1), &service).await.unwrap();
    half.send(half_head()).await.unwrap();
    let mut idle = Connection::from(peer(1), &service).await.unwrap();
    assert_eq!(idle.ask(&post(SMALL)).await.unwrap().status, 200);
    let mut again = Connection::from(peer(1), &service).await.unwrap();
    assert_eq!(again.ask(&post(SMALL)).await.unwrap().status, 200);
    again.send(half_head()).await.unwrap();
    for connection in [&mut silent, &mut half, &mut idle, &mut again] {
        assert!(connection.is_open().await);
    }
    // The head that follows a request has no more time than the first.
    for connection in [&mut silent, &mut half, &mut again] {
        connection.closed().await;
    }
    assert!(started.elapsed() < allowed(Duration::from_secs(5)), "{:?}", started.elapsed());
    assert!(idle.is_open().await);
    idle.closed().await;
    let took = started.elapsed();
    assert!((Duration::from_secs(6)..allowed(Duration::from_secs(10))).contains(&took), "{took:?}");
    assert_eq!(closed(&service, "head_timeout").await, 3);
    assert_eq!(closed(&service, "idle_timeout").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_idle_connections_longer_than_the_head_time_out() {
    let _turn = turn().await;
    let service = Db::sqlite().serve_with(&["--sample", "--request-timeout", "1s"]).await;
    let mut kept = Connection::from(peer(1), &service).await.unwrap();
    for _ in 0..2 {
        assert_eq!(kept.ask(&post(SMALL)).await.unwrap().status, 200);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    // A head that comes drop by drop ends with its time, however late it began.
    let began = Instant::now();
    for drop in b"POST".iter().cycle() {
        if kept.send(vec![*drop]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = began.elapsed();
    assert!((Duration::from_millis(900)..PATIENCE).contains(&took), "{took:?}");
    assert_eq!(closed(&service, "head_timeout").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn allows_slow_heads_with_a_short_keep_alive() {
    let _turn = turn().await;
    let arguments = ["--sample", "--request-timeout", "5s", "--keep-alive", "1s"];
    let service = Db::sqlite().serve_with(&arguments).await;
    let mut idle = Connection::from(peer(1), &service).await.unwrap();
    assert_eq!(idle.ask(&post(SMALL)).await.unwrap().status, 200);
    let mut slow = Connection::from(peer(1), &service).await.unwrap();
    assert_eq!(slow.ask(&post(SMALL)).await.unwrap().status, 200);
    let request = post(SMALL);
    let (first, second) = request.split_at(30);
    slow.send(first).await.unwrap();
    let asked = Instant::now();
    idle.closed().await;
    assert!(asked.elapsed() < allowed(Duration::from_secs(3)), "{:?}", asked.elapsed());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(slow.ask(second).await.unwrap().status, 200);
    assert_eq!(closed(&service, "idle_timeout").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_a_body_that_does_not_arrive() {
    let _turn = turn().await;
    let service = Db::sqlite().serve_with(&["--sample", "--request-timeout", "1s"]).await;
    let mut connection = Connection::from(peer(1), &service).await.unwrap();
    let head = format!("{}Content-Length: 100\r\n\r\n{{", half_head());
    let asked = Instant::now();
    let answer = connection.ask(head.as_bytes()).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (408, "REQUEST_TIMEOUT"));
    assert!(asked.elapsed() < allowed(Duration::from_secs(5)), "{:?}", asked.elapsed());
    connection.closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_descriptors_with_a_thousand_connections() {
    let _turn = turn().await;
    allow_many_sockets();
    let db = Db::sqlite();
    let mut service = db.serve_after("ulimit -n 256", &["--sample"]).await;
    service.wait_for_log("the warning", |event| event["listen.max_connections"] == 109);
    let probe = Probe::start(&service);
    let mut flood = Vec::new();
    for number in 0..1000 {
        flood.push(Connection::from(peer(number / 100), &service).await.unwrap());
    }
    let flooded = Instant::now();
    let mut honest = Connection::from(Ipv4Addr::new(127, 7, 7, 7), &service).await.unwrap();
    assert_eq!(honest.ask(&post(SMALL)).await.unwrap().status, 200);
    let took = flooded.elapsed();
    println!("accepting again after {took:?}");
    assert!(took < allowed(Duration::from_secs(2)), "{took:?}");
    // The database opens files when it needs them.
    service.create(json!({ "title": "In the flood" })).await;
    let open = std::fs::read_dir(format!("/proc/{}/fd", service.pid())).unwrap().count();
    assert!(open < 256, "{open}");
    assert!(closed(&service, "evicted").await >= 800);
    probe.saw_nothing().await;
    assert!(!service.log().iter().any(|event| event["level"] == "ERROR"), "{:#?}", service.log());
}
