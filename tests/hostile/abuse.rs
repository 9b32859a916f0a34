//! Each hostile request is answered soon, with a code and without a word of the inside; meanwhile
//! others notice nothing.

mod documents;
mod fragments;
mod values;

use std::time::{Duration, Instant};

use serde_json::json;
use testing::{Db, Service, probe::Probe};

use super::{SOON, code, post, send};

/// What a body is, the body, and the code that it gets. No code: an answer with data.
type Case = (&'static str, Vec<u8>, &'static str);

fn bodies() -> Vec<Case> {
    [
        documents::nested(),
        documents::wide(),
        documents::texts(),
        fragments::chains(),
        fragments::webs(),
        values::literals(),
        values::requests(),
    ]
    .concat()
}

fn many(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect()
}

fn document(text: impl Into<String>) -> Vec<u8> {
    json!({ "query": text.into() }).to_string().into_bytes()
}

/// What must be in no answer.
const INSIDE: [&str; 9] =
    ["SELECT ", "sqlx", "sqlite", "/src/", ".rs", "panicked", "serde", "async_graphql", "::"];

/// What is wrong with the answer to a request, and how long it took.
async fn check(service: &Service, body: Vec<u8>, expected: &str) -> (Option<String>, Duration) {
    let mut took = Duration::MAX;
    // The machine may be busy with something else once.
    for _ in 0..3 {
        let started = Instant::now();
        let (status, answer) = send(post(service, body.clone())).await;
        took = started.elapsed().min(took);
        let mut text = answer.to_string();
        text.truncate(text.floor_char_boundary(300));
        let told = answer["errors"].to_string();
        let is_right = expected.is_empty() || code(&answer) == expected;
        let is_short = answer["errors"].as_array().is_none_or(|all| all.len() <= 51);
        let is_masked = !INSIDE.iter().any(|part| told.contains(part));
        if !(is_right && is_short && is_masked && status.as_u16() < 500) {
            return (Some(format!("{status} {text}")), took);
        }
        if took < SOON {
            return (None, took);
        }
    }
    (Some("late".to_owned()), took)
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_hostile_requests_soon() {
    let service = Db::sqlite().serve_with(&["--sample"]).await;
    let probe = Probe::start(&service);
    let (mut wrong, mut times) = (Vec::new(), Vec::new());
    for (what, body, expected) in bodies() {
        let (error, took) = check(&service, body, expected).await;
        wrong.extend(error.map(|error| format!("{what} took {took:?}: {error}")));
        times.push((took, what));
    }
    times.sort();
    println!("slowest: {:?}", times.iter().rev().take(8).collect::<Vec<_>>());
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The time it takes is that of an optimised build.
    if cfg!(debug_assertions) {
        let answers = probe.answers().await;
        assert!(answers.iter().all(testing::probe::Answer::is_good), "{answers:?}");
    } else {
        probe.saw_nothing().await;
    }
    let scrape = service.scrape().await;
    let refused = |code: &str| {
        let series = format!("graphql_server_errors_total{{error_type=\"{code}\"");
        scrape.lines().any(|line| line.starts_with(&series) && !line.ends_with(" 0"))
    };
    for code in
        ["LIMIT_EXCEEDED", "BAD_REQUEST", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"]
    {
        assert!(refused(code), "{code} is not counted");
    }
}
