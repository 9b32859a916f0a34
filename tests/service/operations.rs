//! Operations from the request to the response: order, errors, time-outs, clients that hang up.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::{Value, json};
use testing::{Db, Service, allowed, wait_until};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{code, post, send};

#[tokio::test]
async fn returns_other_fields_when_one_fails() {
    let service = Db::sqlite().serve().await;
    let answer = service
        .execute(
            "{ good: search(query: \"a\") { totalCount } bad: book(id: \"x\") { id } }",
            json!({}),
        )
        .await;
    assert_eq!(answer["data"], json!({ "good": { "totalCount": 0 }, "bad": null }), "{answer:#}");
    assert_eq!(answer["errors"][0]["path"], json!(["bad"]));
    assert_eq!(code(&answer), "BAD_USER_INPUT");
}

/// Compared as text: JSON values forget their order. Many times: it is chance that mixes it.
#[tokio::test]
async fn responds_in_document_order() {
    let service = Db::sqlite().serve_with(&["--sample"]).await;
    let query = "{ s: search(query: \"emma\") { totalCount nodes { title } }
        books(first: 1) { totalCount nodes { authors { name } title } pageInfo { hasNextPage } }
        author(id: \"author_99999\") { id } bad: book(id: \"x\") { id } }";
    let expected = "{\"data\":{\"s\":{\"totalCount\":1,\"nodes\":[{\"title\":\"Emma\"}]},\
        \"books\":{\"totalCount\":109,\"nodes\":[{\"authors\":[{\"name\":\"Anonymous\"}],\
        \"title\":\"The Epic of Gilgamesh\"}],\"pageInfo\":{\"hasNextPage\":true}},\
        \"author\":null,\"bad\":null},";
    for _ in 0..100 {
        let answer = post(&service, &json!({ "query": query })).send().await.unwrap();
        let text = answer.text().await.unwrap();
        assert!(text.starts_with(expected), "{text}");
    }
}

/// Held up by a lock on the table until the service has seen that its client is gone.
#[tokio::test]
async fn finishes_a_mutation_whose_client_disconnects() {
    let db = Db::postgres().await;
    let service = db.serve().await;
    let other = Database::connect(&db.url).await.unwrap();
    let mut lock = sea_orm::ConnectOptions::new(&db.url);
    lock.max_connections(1);
    let lock = Database::connect(lock).await.unwrap();
    lock.execute_unprepared("BEGIN; LOCK TABLE author IN EXCLUSIVE MODE").await.unwrap();

    let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
    let body = r#"{"query":"mutation { createAuthor(input: { name: \"Late\" }) { id } }"}"#;
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let waiting = "SELECT 1 AS one FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_until("the mutation waits", async || {
        let waiting = Statement::from_string(other.get_database_backend(), waiting);
        other.query_one_raw(waiting).await.unwrap().is_some()
    })
    .await;
    let open = sockets(&service);
    drop(stream);
    wait_until("the service sees the hang-up", async || sockets(&service) < open).await;

    lock.execute_unprepared("COMMIT").await.unwrap();
    wait_until("the author is there", async || {
        let data = service.data("{ authors { totalCount } }", json!({})).await;
        data["authors"]["totalCount"] == 1
    })
    .await;
}

/// How many sockets the service has open.
fn sockets(service: &Service) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", service.pid())).unwrap();
    files
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// Somebody else holds the write lock of the file for longer than an operation may take.
#[tokio::test]
async fn ends_an_operation_that_times_out() {
    let db = Db::sqlite();
    let service = db.serve_with(&["--operation-timeout", "300ms"]).await;
    let other = Database::connect(&db.url).await.unwrap();
    other.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let create = json!({ "query": "mutation { createBook(input: { title: \"Late\" }) { id } }" });
    let started = Instant::now();
    let (status, answer) = send(post(&service, &create)).await;
    assert_eq!((status.as_u16(), code(&answer)), (504, "TIMEOUT"));
    // Far less than the five seconds for which SQLite waits for a lock.
    assert!(started.elapsed() < Duration::from_secs(3) && answer.get("data").is_none());
    assert_eq!(service.data("{ books { totalCount } }", json!({})).await["books"]["totalCount"], 0);
    other.execute_unprepared("ROLLBACK").await.unwrap();

    // The connection whose BEGIN was cancelled comes back clean.
    let started = Instant::now();
    while send(post(&service, &create)).await.0 != 200 {
        assert!(started.elapsed() < allowed(Duration::from_secs(8)), "writes do not come back");
    }
    let data = service.data("{ books { totalCount } }", json!({})).await;
    assert_eq!(data["books"]["totalCount"], 1);
}

/// A document that is known is not validated again, and that changes no answer: not to variables
/// that are right, and not to those that are wrong.
#[tokio::test(flavor = "multi_thread")]
async fn responds_alike_to_known_and_new_documents() {
    const BOOKS: &str = "query($n: Int) { books(first: $n) { totalCount } }";
    const BOOK: &str = "query($id: ID!) { book(id: $id) { title } }";
    const ORDERED: &str = "query($by: BookOrder) { books(orderBy: $by) { totalCount } }";
    const CREATE: &str = "mutation($in: CreateBookInput!) { createBook(input: $in) { title } }";
    const NODES: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    const DEEP: &str = "query($n: Int) { books(first: $n) { nodes { authors { books(first: $n) {
        nodes { authors { books(first: $n) { totalCount } } } } } } } }";
    let known = Db::sqlite().serve().await;
    for (document, variables) in [
        (BOOKS, json!({ "n": 1 })),
        (BOOK, json!({ "id": "book_1" })),
        (ORDERED, json!({})),
        (CREATE, json!({ "in": { "title": "Dune" } })),
        (NODES, json!({ "ids": ["book_1"] })),
        (DEEP, json!({ "n": 1 })),
    ] {
        known.data(document, variables).await;
    }
    let new = Db::sqlite().serve().await;
    new.create(json!({ "title": "Dune" })).await;
    for (document, variables) in [
        (BOOKS, json!({ "n": 2 })),
        (BOOKS, json!({ "n": null })),
        (BOOKS, json!({ "n": "2" })),
        (BOOKS, json!({ "n": 3_000_000_000_i64 })),
        (BOOKS, json!({ "n": 1.5 })),
        (BOOKS, json!({ "n": [1] })),
        (BOOK, json!({})),
        (BOOK, json!({ "id": null })),
        (BOOK, json!({ "id": 7 })),
        (BOOK, json!({ "id": {} })),
        (ORDERED, json!({ "by": "NO_SUCH" })),
        (CREATE, json!({ "in": { "title": 1 } })),
        (CREATE, json!({ "in": { "titel": "x" } })),
        (NODES, json!({ "ids": ["book_1", null] })),
        (NODES, json!({ "ids": "book_1" })),
        (DEEP, json!({ "n": 100 })),
    ] {
        let body = json!({ "query": document, "variables": variables });
        let answer = without_trace(send(post(&known, &body)).await);
        // With a comment of its own it is a document that nobody has seen.
        let unseen = format!("{document} # {variables}");
        let body = json!({ "query": unseen, "variables": variables });
        let expected = without_trace(send(post(&new, &body)).await);
        assert_eq!(answer, expected, "{body}");
    }
}

fn without_trace((status, mut answer): (StatusCode, Value)) -> (StatusCode, Value) {
    for error in answer["errors"].as_array_mut().into_iter().flatten() {
        error["extensions"].as_object_mut().unwrap().remove("traceId");
    }
    (status, answer)
}
