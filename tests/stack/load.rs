//! A load that touches every feature and fault, so that each series there can be is there.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testing::{
    Db, Service,
    sse::EventStream,
    stack::{FAULT, make_unbearable},
};

/// What the service is to be started with: limits that are reached soon, a pool that is small.
pub const VARIABLES: &[(&str, &str)] = &[
    // Dashboards follow any name.
    ("OTEL_SERVICE_NAME", "shelf"),
    ("COLOPHON_SLOW_POLL", "20ms"),
    ("COLOPHON_POOL_SIZE", "4"),
    ("COLOPHON_POOL_WAIT", "300ms"),
    ("COLOPHON_OPERATION_TIMEOUT", "1s"),
];

/// Books and authors, and a fault.
pub async fn prepare(db: &Db, service: &Service) {
    make_unbearable(db).await;
    for number in 0..30 {
        let author = json!([{ "name": format!("Author {}", number % 7) }]);
        service.create(json!({ "title": format!("Book {number}"), "authors": author })).await;
    }
}

/// Everything once, some of it at the same time.
pub async fn round(service: &Service) {
    join_all([
        join_all(READS.iter().map(|document| ask(service, document))),
        join_all(REFUSED.iter().map(|document| ask(service, document))),
        join_all(FAULTS.iter().map(|document| ask(service, document))),
    ])
    .await;
    // One that is told of the first of the writes, and then hangs up.
    let subscription = "subscription { bookChanged { kind book { title } } }";
    let mut stream = EventStream::open(service, subscription, json!({})).await;
    writes(service).await;
    stream.next().await.unwrap();
    drop(stream);
    // What waits for a connection while there is none.
    let exhausted = ask(service, "{ labExhaustPool(ms: 700) }");
    let waiting = (0..3).map(|_| ask(service, "{ books(first: 1) { nodes { title } } }"));
    futures_util::join!(exhausted, join_all(waiting));
    no_graphql(service).await;
}

const READS: &[&str] = &[
    "{ books(first: 20) { totalCount nodes { title authors { name books { nodes { title } } } } } }",
    "{ authors(first: 5) { nodes { name books { nodes { title authors { name } } } } } }",
    "{ search(query: \"book\") { nodes { title } } }",
    "{ book(id: \"book_1\") { title } author(id: \"author_1\") { name } }",
    "{ book(id: \"book_2\") { title authors { name } } }",
    "{ author(id: \"author_2\") { name } }",
    "{ node(id: \"book_3\") { id } }",
    "{ nodes(ids: [\"book_1\", \"author_1\"]) { id } }",
    "{ bookByIsbn(isbn: \"9780306406157\") { title } }",
    "{ labNPlusOne(first: 10) }",
    "{ labBlock(ms: 60) }",
    "{ labSpin(ms: 60) }",
    "{ labSleep(ms: 300) }",
    "{ labSlowSql(ms: 200) }",
    "{ labStarve(ms: 200) }",
    "{ labLock(ms: 50) }",
    "{ __typename }",
];

const REFUSED: &[&str] = &[
    "{ books",
    "{ nothing }",
    "{ book(id: \"nobody\") { title } }",
    "{ books(first: 1000) { nodes { title } } }",
    "{ a { b { c { d { e { f { g { h { i { j { k { l } } } } } } } } } } } }",
    "query A { __typename } query B { __typename }",
    "mutation { deleteBook(id: \"book_99999\") }",
    "mutation { createBook(input: { title: \"\" }) { id } }",
];

const FAULTS: &[&str] = &["{ labSleep(ms: 3000) }", FAULT];

async fn ask(service: &Service, document: &str) -> Value {
    service.execute(document, json!({})).await
}

async fn writes(service: &Service) {
    let id = service.create(json!({ "title": "One" })).await;
    let update = "mutation($id: ID!, $at: Int) {
        updateBook(id: $id, input: { title: \"Two\" }, expectedVersion: $at) { id } }";
    service.execute(update, json!({ "id": id })).await;
    // A conflict, for it has another version by now.
    service.execute(update, json!({ "id": id, "at": 0 })).await;
    service.execute("mutation($id: ID!) { deleteBook(id: $id) }", json!({ "id": id })).await;
    let author = ask(service, "mutation { createAuthor(input: { name: \"Ann\" }) { id } }").await;
    let id = &author["data"]["createAuthor"]["id"];
    let rename = "mutation($id: ID!) { updateAuthor(id: $id, input: { name: \"Bob\" }) { id } }";
    service.execute(rename, json!({ "id": id })).await;
    service.execute("mutation($id: ID!) { deleteAuthor(id: $id) }", json!({ "id": id })).await;
}

/// Requests that are rejected before there is a document.
async fn no_graphql(service: &Service) {
    let url = format!("{}/graphql", service.url);
    let requests = [
        service.client.post(&url).body("x"),
        service.client.post(&url).header("content-type", "application/json").body("{"),
        service.client.put(&url),
        service.client.get(&url).query(&[("query", "{ __typename }")]),
        service.client.get(format!("{}/nowhere", service.url)),
    ];
    for request in requests {
        request.send().await.unwrap();
    }
}
