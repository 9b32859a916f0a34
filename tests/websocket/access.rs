//! Who may use a socket, and for what.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use testing::{
    Db, Service,
    socket::{Client, PROTOCOL, address, closed_for, upgrade},
    stdout,
};
use tokio::net::TcpStream;

const READ: &str = "{ books { totalCount } }";
const WRITE: &str = "mutation { createBook(input: { title: \"T\" }) { id } }";

/// A service that asks for tokens, and one that may read.
async fn guarded(further: &[&str]) -> (Service, String) {
    let (service, token, _) = guarded_by_file(further).await;
    (service, token)
}

/// The same, with the file that the token is in.
async fn guarded_by_file(further: &[&str]) -> (Service, String, PathBuf) {
    let db = Db::sqlite();
    let made = stdout(&db.run(&["token", "--name", "test", "--scope", "books:read"]));
    let lines: Vec<_> = made.lines().filter(|line| !line.starts_with('#')).collect();
    let file = db.file("tokens", lines[1]);
    let arguments = [&["--tokens-file", file.to_str().unwrap()], further].concat();
    (db.serve_with(&arguments).await, lines[0].to_owned(), file)
}

async fn greet(client: &mut Client, payload: Value) {
    client.say(json!({ "type": "connection_init", "payload": payload })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accepts_a_token_in_connection_init_or_the_upgrade() {
    let (service, token) = guarded(&[]).await;
    let bearer = format!("Bearer {token}");
    let mut by_greeting = Client::open(&service).await;
    greet(&mut by_greeting, json!({ "authorization": bearer })).await;
    let stream = TcpStream::connect(address(&service)).await.unwrap();
    let headers = [("sec-websocket-protocol", PROTOCOL), ("authorization", bearer.as_str())];
    let (mut by_request, _) = upgrade(&service, stream, &headers).await.unwrap();
    greet(&mut by_request, Value::Null).await;
    for mut client in [by_greeting, by_request] {
        assert_eq!(client.hear().await["type"], "connection_ack");
        client.subscribe("1", READ).await;
        assert_eq!(client.answer("1").await, json!({ "data": { "books": { "totalCount": 0 } } }));
        client.subscribe("2", WRITE).await;
        let answer = client.answer("2").await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_sockets_without_a_valid_token() {
    let log = ["--log", "trace"];
    let (service, token) = guarded(&log).await;
    let payloads = [
        Value::Null,
        json!({ "Authorization": token }),
        json!({ "Authorization": "Bearer s3cret" }),
        json!({ "Authorization": { "Bearer": token } }),
        json!({ "token": format!("Bearer {token}") }),
    ];
    for payload in &payloads {
        let mut client = Client::open(&service).await;
        greet(&mut client, payload.clone()).await;
        assert_eq!(client.closed().await.0, 4403, "{payload}");
    }
    closed_for(&service, "forbidden", 5.0).await;
    let told = format!("{:?}{}", service.log(), service.scrape().await);
    for secret in [token.as_str(), "s3cret"] {
        assert!(!told.contains(secret), "{secret} is told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_sockets_of_a_revoked_token() {
    let (service, token, file) = guarded_by_file(&["--socket-ping-interval", "100ms"]).await;
    let mut client = Client::open(&service).await;
    client.greet_with(&token).await;
    client.subscribe("1", READ).await;
    assert!(client.answer("1").await.get("errors").is_none());
    fs::write(&file, "# nobody\n").unwrap();
    assert_eq!(client.closed().await, (4403, "The token is not valid.".to_owned()));
    closed_for(&service, "forbidden", 1.0).await;
}
