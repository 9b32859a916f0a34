//! Documents that mean harm, and documents that are trusted.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod abuse;
mod bodies;
mod faults;
mod limits;
mod trusted;

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use testing::Service;

/// How soon an answer must be there; a debug build takes some ten times as long as a release build.
const SOON: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_500 } else { 250 });

/// A request with this body.
fn post(service: &Service, body: impl Into<reqwest::Body>) -> RequestBuilder {
    service
        .client
        .post(format!("{}/graphql", service.url))
        .header("accept", "application/graphql-response+json")
        .header("content-type", "application/json")
        .body(body)
}

/// What a request is answered with.
async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let (status, text) = (response.status(), response.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {status} {text}")))
}

/// The code of the first error.
fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}
