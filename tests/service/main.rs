//! The service as operators and clients meet it: command line, database, health, HTTP, shutdown.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod command_line;
mod database;
mod health;
mod http;
mod operations;
mod shutdown;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use testing::Service;

const RESPONSE_JSON: &str = "application/graphql-response+json";

/// What a request to `/graphql` is answered with.
async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {status} {text}")))
}

fn post(service: &Service, body: &Value) -> RequestBuilder {
    let url = format!("{}/graphql", service.url);
    service.client.post(url).header("accept", RESPONSE_JSON).json(body)
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{answer:#}"))
}
