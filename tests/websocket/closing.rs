//! How a socket ends.

use std::time::{Duration, Instant};

use serde_json::json;
use testing::{
    Db, PATIENCE, Service, allowed,
    probe::Probe,
    socket::{Client, PROTOCOL, active, address, closed_for, metric_is, upgrade},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    self, Bytes, Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

const LONG: &str = "{ labSleep(ms: 3000) }";

#[tokio::test(flavor = "multi_thread")]
async fn each_breach_has_its_code() {
    let service = Db::sqlite().serve_with(&["--lab", "--max-body", "1000"]).await;
    let probe = Probe::start(&service);
    let mut client = Client::open(&service).await;
    client.subscribe("1", "{ books { totalCount } }").await;
    assert_eq!(client.closed().await, (4401, "Unauthorized".into()));

    let mut client = Client::hello(&service).await;
    client.say(json!({ "type": "connection_init" })).await;
    assert_eq!(client.closed().await.0, 4429);

    let mut client = Client::hello(&service).await;
    client.subscribe("twice", LONG).await;
    client.subscribe("twice", LONG).await;
    assert_eq!(client.closed().await, (4409, "Subscriber for twice already exists".into()));
    active(&service, "query", 0.0).await;

    let long = format!("{{\"type\":\"ping\",\"payload\":{{\"x\":\"{}\"}}}}", "x".repeat(2000));
    let fragment = |kind, part: &str, is_last| {
        let part = Bytes::from(part.to_owned());
        Message::Frame(Frame::message(part, OpCode::Data(kind), is_last))
    };
    for (messages, code) in [
        (vec![Message::text("nonsense")], 4400),
        (vec![Message::text(r#"{"type":"start","id":"1"}"#)], 4400),
        (vec![Message::text(r#"{"type":"subscribe","id":"1","payload":{}}"#)], 4400),
        (vec![Message::binary(&b"{\"type\":\"ping\"}"[..])], 4400),
        (vec![Message::text(long.clone())], 1009),
        (
            vec![
                fragment(Data::Text, &long[..900], false),
                fragment(Data::Continue, &long[900..], true),
            ],
            1009,
        ),
        (
            vec![Message::Frame(Frame::message(&b"\xff\xff"[..], OpCode::Data(Data::Text), true))],
            1007,
        ),
        (vec![fragment(Data::Continue, "x", true)], 1002),
    ] {
        let mut client = Client::hello(&service).await;
        for message in messages.clone() {
            client.send(message).await;
        }
        assert_eq!(client.closed().await.0, code, "{messages:?}");
    }
    // A frame that announces eight exabytes: refused before any of them came.
    let mut client = Client::hello(&service).await;
    let head = [&[0x81, 0xff, 0x7f][..], &[0xff; 7], &[0; 4]].concat();
    client.connection().write_all(&head).await.unwrap();
    assert_eq!(client.closed().await.0, 1009);

    for (reason, times) in [
        ("unauthorized", 1.0),
        ("second_init", 1.0),
        ("id_taken", 1.0),
        ("bad_message", 4.0),
        ("too_large", 3.0),
        ("broken_text", 1.0),
        ("broken_frame", 1.0),
    ] {
        closed_for(&service, reason, times).await;
    }
    metric_is(&service, "websocket_server_active_connections", &[], 0.0).await;
    probe.saw_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_upgrades() {
    let service = Db::sqlite().serve().await;
    let connect = async || TcpStream::connect(address(&service)).await.unwrap();
    let same = service.url.clone();
    let elsewhere = same.replace("127.0.0.1", "localhost");
    for (origin, status, code) in [
        ("https://evil.example", 403, "FORBIDDEN"),
        (elsewhere.as_str(), 403, "FORBIDDEN"),
        ("null", 403, "FORBIDDEN"),
    ] {
        let headers = [("origin", origin), ("sec-websocket-protocol", PROTOCOL)];
        let refused = upgrade(&service, connect().await, &headers).await.err().unwrap();
        let tungstenite::Error::Http(response) = refused else { panic!("{refused}") };
        assert_eq!(response.status(), status, "{origin}");
        let body: serde_json::Value =
            serde_json::from_slice(response.body().as_deref().unwrap()).unwrap();
        assert_eq!(body["errors"][0]["extensions"]["code"], code, "{body:#}");
    }
    let headers =
        [("origin", same.as_str()), ("sec-websocket-protocol", "graphql-ws, graphql-transport-ws")];
    let (mut client, _) = upgrade(&service, connect().await, &headers).await.unwrap();
    client.greet().await;

    // The reference implementation takes the upgrade and then says by its own code why not.
    let (mut client, _) = upgrade(&service, connect().await, &[]).await.unwrap();
    assert_eq!(client.closed().await, (4406, "Subprotocol not acceptable".into()));
    closed_for(&service, "unknown_protocol", 1.0).await;

    let headers = [("sec-websocket-version", "12"), ("sec-websocket-protocol", PROTOCOL)];
    let refused = upgrade(&service, connect().await, &headers).await.err().unwrap();
    let tungstenite::Error::Http(response) = refused else { panic!("{refused}") };
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["sec-websocket-version"], "13");
    assert_eq!(service.data("{ books { totalCount } }", json!({})).await["books"]["totalCount"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_silent_sockets() {
    let service = Db::sqlite()
        .serve_with(&["--lab", "--request-timeout", "2s", "--socket-idle-timeout", "1s"])
        .await;
    let mut silent = Client::open(&service).await;
    // It keeps the connection alive, and still asks for nothing.
    silent.say(json!({ "type": "ping" })).await;
    assert_eq!(silent.closed().await, (4408, "Connection initialisation timeout".into()));
    let mut idle = Client::hello(&service).await;
    // An operation is something, however long it takes.
    idle.subscribe("1", "{ labSleep(ms: 2500) }").await;
    idle.answer("1").await;
    assert_eq!(idle.closed().await.0, 1000);
    closed_for(&service, "init_timeout", 1.0).await;
    closed_for(&service, "idle", 1.0).await;
}

/// A client that is there but silent answers the pings; one that is dead does not.
#[tokio::test(flavor = "multi_thread")]
async fn closes_dead_clients() {
    let service = Db::sqlite().serve_with(&["--socket-ping-interval", "300ms"]).await;
    let mut alive = Client::hello(&service).await;
    let mut dead = Client::hello(&service).await;
    let found = async {
        // Pings come and are not answered, until the connection ends.
        let mut bytes = Vec::new();
        timeout(PATIENCE, dead.connection().read_to_end(&mut bytes)).await.unwrap().unwrap();
        assert_eq!(bytes, [0x89, 0], "one ping");
        closed_for(&service, "dead", 1.0).await;
    };
    tokio::select! {
        message = alive.next() => panic!("{message:?}"),
        () = found => {}
    }
    alive.subscribe("1", "{ books { totalCount } }").await;
    alive.answer("1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_a_client_that_does_not_read() {
    takes_no_answers(&["--answer-timeout", "1s"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evicts_a_client_that_does_not_read_when_memory_is_short() {
    let began = Instant::now();
    // Less than one answer: how many have been made when the first gets stuck is not known.
    takes_no_answers(&["--max-backlog", "1000", "--answer-timeout", "1h"]).await;
    assert!(began.elapsed() < PATIENCE);
}

/// Responses that nobody takes are not piled up: the socket is closed, and others notice nothing.
async fn takes_no_answers(limits: &[&str]) {
    let service = Db::sqlite().serve_with(limits).await;
    let probe = Probe::start(&service);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(address(&service).parse().unwrap()).await.unwrap();
    let mut slow = Client::open_on(&service, stream).await;
    slow.greet().await;
    let query = "{ __schema { types { name description } } }";
    let asking = async {
        for number in 0..2000 {
            slow.subscribe(&number.to_string(), query).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = asking => {}
        () = closed_for(&service, "slow", 1.0) => {}
    }
    active(&service, "query", 0.0).await;
    probe.saw_nothing().await;
}

/// With sockets in every state: what runs is answered, and then all are closed.
#[tokio::test(flavor = "multi_thread")]
async fn finishes_requests_and_closes_on_drain() {
    let mut service = Db::sqlite().serve_with(&["--lab", "--max-socket-operations", "2"]).await;
    let mut unborn = Client::open(&service).await;
    let mut idle = Client::hello(&service).await;
    let mut busy = Client::hello(&service).await;
    busy.subscribe("1", LONG).await;
    busy.subscribe("2", LONG).await;
    active(&service, "query", 2.0).await;
    // It waits for room when the signal comes.
    busy.subscribe("3", "{ books { totalCount } }").await;
    let mut stuck = Client::hello(&service).await;
    stuck.connection().write_all(&[0x81, 0xff]).await.unwrap();
    metric_is(&service, "websocket_server_active_connections", &[], 4.0).await;

    let started = Instant::now();
    terminate(&mut service);
    for client in [&mut unborn, &mut idle] {
        assert_eq!(client.closed().await, (1001, "The service ends".into()));
    }
    assert!(started.elapsed() < allowed(Duration::from_secs(2)), "at once");
    let mut answered = Vec::new();
    for _ in 0..3 {
        let next = busy.hear().await;
        assert!(next["payload"]["data"].is_object(), "{next:#}");
        answered.push(next["id"].as_str().unwrap().to_owned());
        assert_eq!(busy.hear().await["type"], "complete");
    }
    answered.sort();
    assert_eq!(answered, ["1", "2", "3"]);
    assert_eq!(busy.closed().await.0, 1001);
    assert_eq!(service.wait().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    drop(stuck);
}

/// Signals, and waits until the service has heard it.
fn terminate(service: &mut Service) {
    service.signal("-TERM");
    tokio::task::block_in_place(|| {
        service.wait_for_log("the drain", |event| event["drain.signal"] == "SIGTERM")
    });
}

/// As some clients want it, Python's `gql` among them.
#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_names_its_headers_in_title_case() {
    let service = Db::sqlite().serve().await;
    let mut stream = TcpStream::connect(address(&service)).await.unwrap();
    let request = format!(
        "GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    for line in [
        "\r\nUpgrade: websocket",
        "\r\nConnection: Upgrade",
        "\r\nSec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "\r\nSec-Websocket-Protocol: graphql-transport-ws",
    ] {
        assert!(head.contains(line), "{line} is missing in: {head}");
    }
}
