//! Subscriptions: what is delivered to whom, by both transports, and what becomes of them when something fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod delivery;
mod replicas;
mod sockets;
mod telemetry;

use serde_json::{Value, json};
use testing::{Service, socket::metric_is, sse::EventStream};

const ALL: &str =
    "subscription { bookChanged { kind id version book { title authors { name } } } }";
const KINDS: &str = "subscription { bookChanged { kind id } }";

/// A subscription to all changes.
async fn follow(service: &Service, query: &str) -> EventStream {
    EventStream::open(service, query, json!({})).await
}

/// The value of the subscription's field of the next response.
async fn change(stream: &mut EventStream) -> Value {
    stream.data().await["bookChanged"].take()
}

async fn update(service: &Service, id: &str, title: &str) {
    let query = "mutation($id: ID!, $title: String!) { updateBook(id: $id, input: { title: $title }) { id } }";
    service.data(query, json!({ "id": id, "title": title })).await;
}

async fn delete(service: &Service, id: &str) {
    service.data("mutation($id: ID!) { deleteBook(id: $id) }", json!({ "id": id })).await;
}

/// Waits until there are so many subscriptions.
async fn active(service: &Service, count: f64) {
    metric_is(service, "graphql_server_subscription_active", &[], count).await;
}
