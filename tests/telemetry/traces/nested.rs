//! A nested query: its tree of spans, and the attributes of each.

use serde_json::json;
use testing::{
    Db,
    collector::{Collector, Span, observed, tree},
};

use super::{NESTED, fill, find};
use crate::page;

const NESTED_TREE: &str = "\
POST /graphql SERVER
  query INTERNAL
    GraphQL Document Parsing INTERNAL
    GraphQL Document Validation INTERNAL
    GraphQL Operation Execution INTERNAL
      Query.books INTERNAL
        SELECT book CLIENT
      Book.authors INTERNAL
        GraphQL DataLoader Batch authors INTERNAL
          SELECT book_author author CLIENT
      Author.books INTERNAL
        GraphQL DataLoader Batch books INTERNAL
          SELECT SELECT book book_author CLIENT
";

async fn a_nested_query_is_one_trace(db: Db) {
    let collector = Collector::start();
    let service = observed(&db, &collector).await;
    fill(&service, 5).await;
    let (trace, answer) = service.traced(NESTED, json!({ "first": 5 })).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    let spans = collector.trace(&trace);
    assert_eq!(
        tree(&spans),
        NESTED_TREE.replace("        SELECT book CLIENT", &format!("        {} CLIENT", page(&db)))
    );
    assert!(spans.iter().all(|span| span.status == 0 && span.events.is_empty()), "{spans:#?}");

    request_is_described(&spans);
    let number = r#""http.response.status_code","value":{"intValue":"200"}"#;
    assert!(collector.raw().contains(number), "numbers arrive as numbers");
    operation_is_described(&spans);
    field_and_batches_are_described(&spans);
    statement_is_described(&spans, &db);
}

fn request_is_described(spans: &[Span]) {
    let server = find(spans, "POST /graphql");
    assert_eq!(server.parent, "");
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/graphql"),
        ("http.response.status_code", "200"),
        ("url.path", "/graphql"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
        ("network.peer.address", "127.0.0.1"),
        ("server.address", "127.0.0.1"),
    ] {
        assert_eq!(server.attribute(name), value, "{name}");
    }
    assert!(server.attribute("server.port").parse::<u16>().is_ok());
}

fn operation_is_described(spans: &[Span]) {
    let operation = find(spans, "query");
    for (name, value) in [
        ("graphql.operation.type", "query"),
        ("graphql.operation.name", "Nested"),
        ("graphql.root_field", "Query.books"),
        ("graphql.error.count", "0"),
    ] {
        assert_eq!(operation.attribute(name), value, "{name}");
    }
    assert_eq!(operation.attribute("graphql.operation.hash").len(), 64);
    profile_adds_up(operation);
}

/// Busy, scheduled and idle are the operation's whole duration, within five in a hundred.
fn profile_adds_up(operation: &Span) {
    let seconds = |state: &str| operation.attribute(state).parse::<f64>().unwrap();
    let sum =
        seconds("tokio.task.busy") + seconds("tokio.task.scheduled") + seconds("tokio.task.idle");
    #[expect(clippy::cast_precision_loss, reason = "some milliseconds")]
    let whole = (operation.ended - operation.started) as f64 / 1e9;
    assert!((sum - whole).abs() <= 0.05 * whole, "{sum} of {whole}: {operation:#?}");
    assert!(operation.attribute("tokio.task.polls").parse::<u32>().unwrap() > 1);
}

fn field_and_batches_are_described(spans: &[Span]) {
    let field = find(spans, "Author.books");
    for (name, value) in [
        ("graphql.selection.field.name", "books"),
        ("graphql.selection.field.parent_type", "Author"),
        ("graphql.selection.field.coordinate", "Author.books"),
        ("graphql.selection.path", "books.nodes.authors.books"),
        ("graphql.field.calls", "5"),
        ("graphql.field.errors", "0"),
    ] {
        assert_eq!(field.attribute(name), value, "{name}");
    }
    assert!(field.attribute("graphql.field.duration.max").parse::<f64>().unwrap() > 0.0);

    for (batch, field, size) in [("authors", "Book.authors", "5"), ("books", "Author.books", "5")] {
        let batch = find(spans, &format!("GraphQL DataLoader Batch {batch}"));
        assert_eq!(batch.attribute("graphql.dataloader.batch.size"), size);
        assert_eq!(batch.links, [find(spans, field).id.clone()]);
    }
}

fn statement_is_described(spans: &[Span], db: &Db) {
    let statement = find(spans, page(db));
    let system = if db.is_sqlite() { "sqlite" } else { "postgresql" };
    for (name, value) in [
        ("db.system.name", system),
        ("db.operation.name", "SELECT"),
        ("db.collection.name", "book"),
        ("db.query.summary", page(db)),
        ("db.response.returned_rows", "5"),
    ] {
        assert_eq!(statement.attribute(name), value, "{name}");
    }
    let text = statement.attribute("db.query.text");
    assert!(text.contains("SELECT \"book\".\"id\""), "{text}");
    assert!(!statement.attribute("db.namespace").is_empty());
    assert_eq!(statement.attributes.contains_key("server.address"), !db.is_sqlite());
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_a_nested_query_on_sqlite() {
    a_nested_query_is_one_trace(Db::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_a_nested_query_on_postgres() {
    a_nested_query_is_one_trace(Db::postgres().await).await;
}
