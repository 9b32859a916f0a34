//! PostgreSQL as administrators set it up: roles with few privileges, read-only sessions, poolers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod poolers;
mod privileges;

use serde_json::{Value, json};
use testing::{Db, Service};

const READ: &str = "{ books(first: 2) { totalCount nodes { id title authors { name } } } }";
const CREATE: &str = "mutation { createBook(input: { title: \"One\" }) { id title } }";

/// Runs statements as the owner of the database.
async fn as_owner(db: &Db, sql: &str) {
    use sea_orm::ConnectionTrait;
    let connection = sea_orm::Database::connect(&db.url).await.unwrap();
    connection.execute_unprepared(sql).await.unwrap();
    connection.close().await.unwrap();
}

/// What `/readyz` responds with.
async fn readiness(service: &Service) -> Value {
    let url = format!("{}/readyz", service.admin);
    service.client.get(url).send().await.unwrap().json().await.unwrap()
}

/// The first error of a document that must fail: its code and its message.
async fn failure(service: &Service, document: &str) -> (String, String) {
    let error = service.error(document, json!({})).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&error["extensions"]["code"]), text(&error["message"]))
}

/// A log line of this event, waiting for it.
fn event(service: &mut Service, name: &str) -> String {
    service.wait_for_log(name, |event| event["event"] == name).to_string()
}
