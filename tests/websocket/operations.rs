//! What runs on a socket.

use std::time::{Duration, Instant};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};
use testing::{
    Db, on_both_databases,
    socket::{Client, active, metric, metric_is},
};

const CREATE: &str =
    "mutation($input: CreateBookInput!) { createBook(input: $input) { id title } }";
const TITLES: &str = "{ books { nodes { title } } }";
/// Longer than any test waits for what should come before it.
const LONG: &str = "{ labSleep(ms: 10000) }";

on_both_databases! {
    async fn queries_and_mutations_are_answered(db: Db) {
        let service = db.serve().await;
        let mut client = Client::hello(&service).await;
        client.ask("1", json!({ "query": CREATE, "variables": { "input": { "title": "One" } } })).await;
        assert_eq!(client.answer("1").await["data"]["createBook"]["title"], "One");
        client.subscribe("2", TITLES).await;
        let expected = json!({ "data": { "books": { "nodes": [{ "title": "One" }] } } });
        assert_eq!(client.answer("2").await, expected);
        // An id that is free again.
        let named = "query A { books { totalCount } } query B { authors { totalCount } }";
        client.ask("2", json!({ "query": named, "operationName": "B", "variables": null })).await;
        assert_eq!(client.answer("2").await["data"], json!({ "authors": { "totalCount": 0 } }));
        client.say(json!({ "type": "ping", "payload": { "n": 1 } })).await;
        assert_eq!(client.hear().await, json!({ "type": "pong", "payload": { "n": 1 } }));
        // What is of no meaning, or came too late.
        client.say(json!({ "type": "pong" })).await;
        client.say(json!({ "type": "complete", "id": "2" })).await;
        client.say(json!({ "type": "ping" })).await;
        assert_eq!(client.hear().await, json!({ "type": "pong" }));
        client.close().await;
        metric_is(&service, "websocket_server_active_connections", &[], 0.0).await;
    }

    /// Its client is gone, and the database lets it wait: it goes on nevertheless.
    async fn finishes_a_mutation_without_its_client(db: Db) {
        let service = db.serve().await;
        for (number, says_complete) in [true, false].into_iter().enumerate() {
            let blocker = block(&db).await;
            let mut client = Client::hello(&service).await;
            let title = format!("Book {number}");
            client.ask("1", json!({ "query": CREATE, "variables": { "input": { "title": title } } })).await;
            active(&service, "mutation", 1.0).await;
            if says_complete {
                client.say(json!({ "type": "complete", "id": "1" })).await;
                client.say(json!({ "type": "ping" })).await;
                assert_eq!(client.hear().await, json!({ "type": "pong" }));
            } else {
                drop(client);
                metric_is(&service, "websocket_server_active_connections", &[], 0.0).await;
            }
            blocker.execute_unprepared("ROLLBACK").await.unwrap();
            active(&service, "mutation", 0.0).await;
            let data = service.data("{ books { totalCount } }", json!({})).await;
            assert_eq!(data["books"]["totalCount"], number + 1);
        }
    }
}

/// Keeps others from writing until it is rolled back.
async fn block(db: &Db) -> DatabaseConnection {
    let mut options = ConnectOptions::new(&db.url);
    let connection = Database::connect(options.max_connections(1).to_owned()).await.unwrap();
    let begin = if db.is_sqlite() {
        "BEGIN IMMEDIATE"
    } else {
        "BEGIN; LOCK TABLE book IN ACCESS EXCLUSIVE MODE"
    };
    connection.execute_unprepared(begin).await.unwrap();
    connection
}

/// Those refused too, with the same code and the same words.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_http() {
    let service =
        Db::sqlite().serve_with(&["--lab", "--sample", "--operation-timeout", "300ms"]).await;
    let mut client = Client::hello(&service).await;
    let deep = "{ books { nodes { ".to_owned() + &"authors { books { nodes { ".repeat(12);
    let deep = format!("{deep} id {}", "} ".repeat(12 * 3 + 3));
    for (query, is_executed) in [
        (TITLES, true),
        ("{ __schema { types { name description fields { name description } } } }", true),
        ("mutation { deleteBook(id: \"book_999999\") }", true),
        ("{ book(id: \"nonsense\") { id } books { totalCount } }", true),
        ("{ nonsense }", false),
        ("{ books ", false),
        ("query A { books { totalCount } } query B { books { totalCount } }", false),
        ("subscription { books { totalCount } }", false),
        (&deep, false),
        (LONG, false),
    ] {
        let http = service.execute(query, json!({})).await;
        client.subscribe("x", query).await;
        let socket = if is_executed {
            client.answer("x").await
        } else {
            json!({ "errors": client.refusal("x").await })
        };
        assert_eq!(without_traces(socket), without_traces(http), "{query}");
    }
}

fn without_traces(mut answer: Value) -> Value {
    for error in answer["errors"].as_array_mut().into_iter().flatten() {
        assert!(error["extensions"]["code"].is_string(), "{error:#}");
        error["extensions"].as_object_mut().unwrap().remove("traceId");
    }
    if answer["errors"].is_null() {
        answer.as_object_mut().unwrap().remove("errors");
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_run_at_the_same_time() {
    let service = Db::sqlite().serve_with(&["--lab"]).await;
    let mut client = Client::hello(&service).await;
    for id in ["a", "b", "c"] {
        client.subscribe(id, "{ labSleep(ms: 1000) }").await;
    }
    active(&service, "query", 3.0).await;
    client.subscribe("quick", TITLES).await;
    client.answer("quick").await;
    let mut answered = Vec::new();
    for _ in 0..3 {
        let next = client.hear().await;
        answered.push(next["id"].as_str().unwrap().to_owned());
        assert_eq!(client.hear().await["type"], "complete");
    }
    answered.sort();
    assert_eq!(answered, ["a", "b", "c"]);
}

/// Those beyond the limit wait, however many they are, and all are answered.
#[tokio::test(flavor = "multi_thread")]
async fn limits_concurrent_operations() {
    let service = Db::sqlite().serve_with(&["--lab", "--max-socket-operations", "2"]).await;
    let mut client = Client::hello(&service).await;
    client.subscribe("slow", "{ labSleep(ms: 1500) }").await;
    client.subscribe("slower", "{ labSleep(ms: 2000) }").await;
    active(&service, "query", 2.0).await;
    for number in 0..50 {
        client.subscribe(&number.to_string(), TITLES).await;
    }
    client.answer("slow").await;
    for number in 0..50 {
        client.answer(&number.to_string()).await;
    }
    client.answer("slower").await;
}

/// Of a socket whose operations all wait, what comes is read; and who goes leaves nothing waiting.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_operations_hold_no_permit() {
    let service = Db::sqlite().serve_with(&["--lab", "--max-operations", "2"]).await;
    let mut busy = Client::hello(&service).await;
    for id in ["1", "2"] {
        busy.subscribe(id, "{ labSleep(ms: 3000) }").await;
    }
    active(&service, "query", 2.0).await;
    let mut waiting = Client::hello(&service).await;
    let mut leaving = Client::hello(&service).await;
    for client in [&mut waiting, &mut leaving] {
        for id in ["1", "2", "3"] {
            client.subscribe(id, "{ labSleep(ms: 1) }").await;
        }
        client.say(json!({ "type": "ping" })).await;
        assert_eq!(client.hear().await, json!({ "type": "pong" }));
    }
    active(&service, "query", 2.0).await;
    drop(leaving);
    waiting.say(json!({ "type": "complete", "id": "2" })).await;
    // It was read: of the three that wait, one does not any more.
    waiting.say(json!({ "type": "ping" })).await;
    assert_eq!(waiting.hear().await, json!({ "type": "pong" }));
    assert_eq!(completed(&mut waiting, 2).await, ["1", "3"]);
    assert_eq!(completed(&mut busy, 2).await, ["1", "2"]);
    let name = "graphql_server_request_duration_seconds_count";
    let ran = ["graphql_root_field=\"Query.labSleep\""];
    metric_is(&service, name, &ran, 4.0).await;
}

/// The ids of the next operations that are answered with data, in order.
async fn completed(client: &mut Client, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let heard = client.hear().await;
        match heard["type"].as_str().unwrap() {
            "next" => assert!(heard["payload"]["data"].is_object(), "{heard:#}"),
            "complete" => ids.push(heard["id"].as_str().unwrap().to_owned()),
            _ => panic!("{heard:#}"),
        }
    }
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn aborts_the_query_of_a_client_that_disconnects() {
    let service = Db::sqlite()
        .serve_with(&["--lab", "--max-socket-operations", "1", "--operation-timeout", "1m"])
        .await;
    let mut client = Client::hello(&service).await;
    let started = Instant::now();
    client.subscribe("x", LONG).await;
    active(&service, "query", 1.0).await;
    client.say(json!({ "type": "complete", "id": "x" })).await;
    // There is room again, the id is free, and nothing comes of the first.
    client.subscribe("x", TITLES).await;
    assert!(client.answer("x").await["data"]["books"].is_object());

    client.subscribe("y", LONG).await;
    active(&service, "query", 1.0).await;
    drop(client);
    active(&service, "query", 0.0).await;
    assert!(started.elapsed() < Duration::from_secs(9), "they ended by themselves");
    let cancelled = ["error_type=\"CANCELLED\"", "graphql_root_field=\"Query.labSleep\""];
    let name = "graphql_server_request_duration_seconds_count";
    assert!((metric(&service, name, &cancelled).await - 2.0).abs() < f64::EPSILON);
}

/// The limit is the transport's, not the engine's.
#[tokio::test]
async fn rejects_a_response_that_is_too_large() {
    let service = Db::sqlite().serve_with(&["--sample", "--max-answer", "2000"]).await;
    let mut client = Client::hello(&service).await;
    client.subscribe("1", "{ books(first: 100) { nodes { id title authors { name } } } }").await;
    assert_eq!(client.refusal("1").await[0]["extensions"]["code"], "LIMIT_EXCEEDED");
    client.subscribe("2", "{ books(first: 3) { nodes { title } } }").await;
    assert!(client.answer("2").await["data"]["books"].is_object());
}
