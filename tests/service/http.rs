//! HTTP beside GraphQL: the root, routes that do not exist, the access log.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testing::{Db, wait_until};

use crate::{post, send};

#[tokio::test]
async fn responds_to_programs_in_json_at_the_root() {
    let service = Db::sqlite().serve().await;
    let root = service.client.get(&service.url).send().await.unwrap();
    let status: Value = root.json().await.unwrap();
    assert_eq!(status["service"], "colophon");
    let nothing = service.client.get(format!("{}/nothing", service.url)).send().await.unwrap();
    assert_eq!(nothing.status(), 404);
    let admin = service.client.get(format!("{}/readyz", service.url)).send().await.unwrap();
    assert_eq!(admin.status(), 404, "the admin routes are not public");
}

#[tokio::test]
async fn each_request_is_logged_as_json() {
    let mut service = Db::sqlite().serve().await;
    service.data("{ __typename }", json!({})).await;
    let line = service.wait_for_log("the access line", |event| event["url.path"] == "/graphql");
    assert_eq!((&line["http.response.status_code"], &line["level"]), (&json!(200), &json!("INFO")));
    assert!(line["http.request.duration"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn buffers_logs_while_standard_output_is_blocked() {
    /// More lines than a pipe has room for.
    const REQUESTS: usize = 1000;
    let service = Db::sqlite().serve().await;
    let unread = service.leave_log_unread();
    for _ in 0..REQUESTS {
        let (status, _) = send(post(&service, &json!({ "query": "{ __typename }" }))).await;
        assert_eq!(status, StatusCode::OK);
    }
    drop(unread);
    let answered = || {
        let is_answer = |line: &&Value| line["event"] == "http.access";
        service.log().iter().filter(is_answer).count()
    };
    wait_until("all lines", async || answered() == REQUESTS).await;
}
