//! Databases that fail: what clients see of it, and that nothing is lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod durability;
mod postgres;
mod sqlite;

use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use testing::Service;
use tokio::sync::Mutex;

/// Tests that measure time have the machine to themselves, one after the other.
static MACHINE: Mutex<()> = Mutex::const_new(());

const READ: &str = "{ books(first: 2) { nodes { id title } } }";
const CREATE: &str = "mutation($t: String!) { createBook(input: { title: $t }) { id title } }";

/// What a response of the service was.
#[derive(Debug)]
struct Answer {
    took: Duration,
    status: u16,
    body: Value,
}

impl Answer {
    fn is_good(&self) -> bool {
        self.status == 200 && self.body.get("errors").is_none()
    }

    fn code(&self) -> &str {
        self.body["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
    }

    /// Good, or refused because the database is away, and in words that tell nothing of it.
    fn assert_good_or_unavailable(&self) {
        if self.is_good() {
            return;
        }
        assert_eq!((self.status, self.code()), (503, "DATABASE_UNAVAILABLE"), "{self:?}");
        let text = self.body.to_string();
        for word in ["SELECT", "INSERT", "sqlx", "postgres", "sqlite", "/tmp", "Error", "::"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}

async fn ask(client: &Client, url: &str, query: &str, variables: Value) -> Answer {
    let asked = Instant::now();
    let body = json!({ "query": query, "variables": variables });
    let request = client.post(format!("{url}/graphql")).json(&body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.json().await.unwrap();
    Answer { took: asked.elapsed(), status, body }
}

/// As many answers to the same document, asked for at once.
async fn ask_at_once(service: &Service, count: usize, query: &str) -> Vec<Answer> {
    let asking: Vec<_> = (0..count)
        .map(|number| {
            let (client, url, query) =
                (service.client.clone(), service.url.clone(), query.to_owned());
            let variables = json!({ "t": format!("Book {number}") });
            let ask = async move { ask(&client, &url, &query, variables).await };
            tokio::runtime::Handle::current().spawn(ask)
        })
        .collect();
    let mut answers = Vec::new();
    for answer in asking {
        answers.push(answer.await.unwrap());
    }
    answers
}

/// How long it takes until `count` requests at once are all good.
async fn recovery(service: &Service, count: usize) -> Duration {
    let started = Instant::now();
    while !ask_at_once(service, count, READ).await.iter().all(Answer::is_good) {
        assert!(started.elapsed() < testing::PATIENCE, "never again");
    }
    started.elapsed()
}
