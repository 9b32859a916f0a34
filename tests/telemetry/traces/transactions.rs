//! Transactions, and the wait for a connection.

use serde_json::json;
use testing::{
    Db,
    collector::{Collector, observed, tree},
};

use super::find;

#[tokio::test(flavor = "multi_thread")]
async fn traces_the_transaction_of_a_mutation() {
    let collector = Collector::start();
    let service = observed(&Db::sqlite(), &collector).await;
    let document = r#"mutation { createBook(input: { title: "Dune", authors: [{ name: "Frank" }] }) { title } }"#;
    let (trace, _) = service.traced(document, json!({})).await;
    let spans = collector.trace(&trace);
    let tree = tree(&spans);
    assert!(tree.contains("\n  mutation INTERNAL\n"), "{tree}");
    assert!(tree.contains("\n        BEGIN CLIENT\n        SELECT author CLIENT\n"), "{tree}");
    assert!(
        tree.contains("\n        INSERT book INSERT book_search_place INSERT book_search CLIENT\n"),
        "{tree}"
    );
    assert!(tree.contains("\n        COMMIT CLIENT\n"), "{tree}");
    assert_eq!(find(&spans, "mutation").attribute("graphql.root_field"), "Mutation.createBook");
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_a_transaction_in_one_text_as_one_span() {
    let collector = Collector::start();
    let service = observed(&Db::sqlite(), &collector).await;
    let document = r#"mutation { createBook(input: { title: "Dune" }) { title } }"#;
    let (trace, _) = service.traced(document, json!({})).await;
    let spans = collector.trace(&trace);
    let of_sql = spans.iter().filter(|span| span.attributes.contains_key("db.query.text"));
    assert_eq!(of_sql.count(), 1, "{}", tree(&spans));
    let statement = find(&spans, "INSERT book INSERT book_search_place INSERT book_search");
    assert_eq!(statement.attribute("db.operation.name"), "INSERT");
    let text = statement.attribute("db.query.text");
    assert!(text.starts_with("BEGIN IMMEDIATE; INSERT") && text.ends_with("; COMMIT"), "{text}");
}

/// Only one connection, which a transaction keeps: the next one waits, and that is seen.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_connection_is_a_span() {
    let collector = Collector::start();
    let db = Db::sqlite();
    let service = std::sync::Arc::new(observed(&db, &collector).await);
    let create = |number: usize| {
        let service = service.clone();
        async move {
            let document =
                "mutation($title: String!) { createBook(input: { title: $title }) { id } }";
            service.traced(document, json!({ "title": format!("Book {number}") })).await.0
        }
    };
    // SQLite has one connection that writes.
    let traces = futures_util::future::join_all((0..40).map(create)).await;
    let waits = traces.iter().flat_map(|trace| collector.trace(trace));
    let wait = waits.into_iter().find(|span| span.name == "db.pool.acquire");
    let wait = wait.expect("of forty writers at once one has waited for a millisecond");
    assert_eq!(wait.attribute("db.client.connection.pool.name"), "writer");
    assert_eq!(wait.status, 0);
}
