//! Who may follow what, and for how long.

use std::fs;

use serde_json::{Value, json};
use testing::{
    Db, Service,
    socket::{Client, metric, metric_is},
    sse::{EventStream, StreamEvent, patient},
    stdout, wait_until,
};

use crate::{KINDS, active, change};

/// A token and its line in a file of tokens.
fn token(db: &Db, scopes: &[&str]) -> (String, String) {
    let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
    let arguments: Vec<_> = ["token", "--name", "test"].into_iter().chain(scopes).collect();
    let made = stdout(&db.run(&arguments));
    let lines: Vec<_> = made.lines().filter(|line| !line.starts_with('#')).collect();
    (lines[0].to_owned(), lines[1].to_owned())
}

async fn create(service: &Service, token: &str) {
    let query = "mutation { createBook(input: { title: \"T\" }) { id } }";
    let request = service.client.post(format!("{}/graphql", service.url));
    let response = request.bearer_auth(token).json(&json!({ "query": query })).send().await;
    let body: Value = response.unwrap().json().await.unwrap();
    assert!(body["errors"].is_null(), "{body}");
}

/// A subscription by each transport.
async fn subscribe(service: &Service, token: &str) -> (EventStream, Client) {
    let response = EventStream::request(service, KINDS, json!({}), Some(token)).await;
    let stream = EventStream::of(response).await;
    let mut socket = Client::open(service).await;
    socket.greet_with(token).await;
    socket.subscribe("1", KINDS).await;
    active(service, 2.0).await;
    (stream, socket)
}

/// The code of the error that is the last a stream says.
async fn reason(stream: &mut EventStream) -> Value {
    loop {
        match stream.next().await.unwrap() {
            StreamEvent::Next(response) if response["errors"].is_null() => {}
            StreamEvent::Next(mut response) => {
                return response["errors"][0]["extensions"]["code"].take();
            }
            StreamEvent::Complete => panic!("it says why it ends"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_end_in_mid_stream_end_the_subscription() {
    let db = Db::sqlite();
    let (writer, writer_line) = token(&db, &["books:read", "books:write"]);
    let (reader, reader_line) = token(&db, &["books:read"]);
    let (blind, blind_line) = token(&db, &["books:write"]);
    let all = format!("{writer_line}\n{reader_line}\n{blind_line}\n");
    let file = db.file("tokens", &all);
    let service = db.serve_with(&["--tokens-file", file.to_str().unwrap()]).await;

    assert_eq!(EventStream::refusal(&service, KINDS, Some(&blind)).await, "FORBIDDEN");
    let refused = EventStream::request(&service, KINDS, json!({}), None).await;
    assert_eq!(refused.status(), 401);

    let (mut stream, mut socket) = subscribe(&service, &reader).await;
    create(&service, &writer).await;
    assert_eq!(change(&mut stream).await["kind"], "CREATED");
    assert_eq!(socket.hear().await["payload"]["data"]["bookChanged"]["kind"], "CREATED");

    // The reader's token has another scope from now on.
    fs::write(&file, all.replace("books:read sha256", "books:write sha256")).unwrap();
    let mut ended = None;
    while ended.is_none() {
        create(&service, &writer).await;
        let message = socket.hear().await;
        ended = (message["type"] == "error").then_some(message);
    }
    let error = &ended.unwrap()["payload"][0];
    assert_eq!(error["extensions"]["code"], "FORBIDDEN", "{error}");
    assert_eq!(reason(&mut stream).await, "FORBIDDEN");
    assert_eq!(stream.next().await, Some(StreamEvent::Complete));
    assert_eq!(stream.next().await, None);
    active(&service, 0.0).await;
    let unauthorized = ["graphql_subscription_end_reason=\"unauthorized\""];
    metric_is(&service, "graphql_server_subscription_ended_total", &unauthorized, 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_withdrawn_ends_the_subscription() {
    let db = Db::sqlite();
    let (writer, writer_line) = token(&db, &["books:read", "books:write"]);
    let (reader, reader_line) = token(&db, &["books:read"]);
    let file = db.file("tokens", format!("{writer_line}\n{reader_line}\n"));
    let service = db.serve_with(&["--tokens-file", file.to_str().unwrap()]).await;
    let (mut stream, mut socket) = subscribe(&service, &reader).await;

    fs::write(&file, writer_line).unwrap();
    wait_until("both have ended", async || {
        create(&service, &writer).await;
        metric(&service, "graphql_server_subscription_active", &[]).await == 0.0
    })
    .await;
    assert_eq!(reason(&mut stream).await, "UNAUTHENTICATED");
    assert_eq!(stream.next().await, Some(StreamEvent::Complete));
    assert_eq!(socket.closed().await.0, 4403);
    let unauthorized = ["graphql_subscription_end_reason=\"unauthorized\""];
    metric_is(&service, "graphql_server_subscription_ended_total", &unauthorized, 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_subscriptions_of_a_caller_and_of_a_socket() {
    let limits = ["--max-caller-subscriptions", "3", "--max-socket-subscriptions", "2"];
    let service = Db::sqlite().serve_with(&limits).await;
    let mut socket = Client::hello(&service).await;
    for id in ["1", "2", "3"] {
        socket.subscribe(id, KINDS).await;
    }
    let refusal = socket.refusal("3").await;
    assert_eq!(refusal[0]["extensions"]["code"], "LIMIT_EXCEEDED", "{refusal}");
    active(&service, 2.0).await;
    let stream = EventStream::open(&service, KINDS, json!({})).await;
    assert_eq!(EventStream::refusal(&service, KINDS, None).await, "LIMIT_EXCEEDED");
    drop(stream);
    active(&service, 2.0).await;
    EventStream::open(&service, KINDS, json!({})).await;
}

/// A page of another site may have a browser open an `EventSource`, which the service takes for its own only if
/// the browser says so.
#[tokio::test(flavor = "multi_thread")]
async fn takes_subscriptions_by_get_of_its_own_pages() {
    let service = Db::sqlite().serve().await;
    let get = async |query: &str, site: &str| {
        let url = format!("{}/graphql", service.url);
        let request = patient().get(url).query(&[("query", query)]);
        let request = request.header("accept", "text/event-stream").header("sec-fetch-site", site);
        request.send().await.unwrap()
    };
    let mut stream = EventStream::of(get(KINDS, "same-origin").await).await;
    let id = service.create(json!({ "title": "One" })).await;
    assert_eq!(change(&mut stream).await, json!({ "kind": "CREATED", "id": id }));
    assert_eq!(get(KINDS, "cross-site").await.status(), 400);
    let mutation = "mutation { deleteBook(id: \"book_1\") }";
    assert_eq!(get(mutation, "same-origin").await.status(), 405);
}
