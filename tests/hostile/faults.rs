//! Extreme values are no faults of the service, and a fault is masked.

use serde_json::{Value, json};
use testing::Db;

use super::{code, post, send};

/// Values at and beyond the edge of what can be: a mistake of the client, and never a fault.
#[tokio::test]
async fn handles_extreme_input() {
    let service = Db::sqlite().serve_with(&["--sample"]).await;
    let mut asked: Vec<(String, Value)> = Vec::new();
    for id in
        ["book_9223372036854775807", "book_9223372036854775808", "book_-1", "", "é", "author_1_1"]
    {
        asked.push(("query($id: ID!) { node(id: $id) { id } }".into(), json!({ "id": id })));
        asked.push(("mutation($id: ID!) { deleteBook(id: $id) }".into(), json!({ "id": id })));
    }
    for cursor in ["", "AAAA", "!!!!", &"A".repeat(10_000), "bnVsbA"] {
        let query = "query($c: String!) { books(first: 1, after: $c) { nodes { id } } }";
        asked.push((query.into(), json!({ "c": cursor })));
    }
    for number in [
        json!(i32::MIN),
        json!(i32::MAX),
        json!(2_147_483_648_i64),
        json!(u64::MAX),
        json!(1e300),
        json!(-0.5),
    ] {
        let query = "query($n: Int) { books(first: $n) { nodes { id } } }";
        asked.push((query.into(), json!({ "n": number })));
        let create = "mutation($n: Int) { createBook(input: { title: \"x\", publishedYear: $n, pages: $n }) { id publishedYear } }";
        asked.push((create.into(), json!({ "n": number })));
    }
    for (query, variables) in asked {
        let answer = service.execute(&query, variables.clone()).await;
        let code = code(&answer);
        let is_mistake =
            ["", "BAD_USER_INPUT", "NOT_FOUND", "GRAPHQL_VALIDATION_FAILED"].contains(&code);
        assert!(is_mistake, "{query} {variables}: {answer}");
    }
}

#[tokio::test]
async fn masks_a_panic_of_a_resolver() {
    let service = Db::sqlite().serve_with(&["--lab"]).await;
    let pid = service.pid();
    let body = json!({ "query": "{ labPanic books { totalCount } }" }).to_string();
    let (status, answer) = send(post(&service, body)).await;
    assert_eq!((status.as_u16(), code(&answer)), (500, "INTERNAL_SERVER_ERROR"));
    assert!(!answer.to_string().contains("laboratory"), "{answer}");
    service.data("{ books { totalCount } }", json!({})).await;
    assert_eq!(service.pid(), pid);
}
