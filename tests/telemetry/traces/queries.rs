//! Queries: how many spans there are, which phases, which batches, whose errors.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, Database};
use serde_json::json;
use testing::{
    Db,
    collector::{Collector, observed, tree},
};

use super::{NESTED, fill, find};

#[tokio::test(flavor = "multi_thread")]
async fn spans_do_not_grow_with_the_list() {
    let collector = Collector::start();
    let service = observed(&Db::sqlite(), &collector).await;
    fill(&service, 100).await;
    // The first time it is parsed and validated besides.
    service.data(NESTED, json!({ "first": 1 })).await;
    let mut counts = BTreeMap::new();
    for first in [5, 100] {
        let (trace, _) = service.traced(NESTED, json!({ "first": first })).await;
        let spans = collector.trace(&trace);
        let calls = find(&spans, "Book.authors").attribute("graphql.field.calls").to_owned();
        assert_eq!(calls, first.to_string());
        counts.insert(first, tree(&spans));
    }
    assert_eq!(counts[&5], counts[&100]);
}

/// Parsing and validation are spared the second time; validation is not where only it can tell
/// whether a variable's value is right.
#[tokio::test(flavor = "multi_thread")]
async fn does_not_parse_a_known_document() {
    let collector = Collector::start();
    let service = observed(&Db::sqlite(), &collector).await;
    let phases = async |document: &str, variables: serde_json::Value| {
        let (trace, answer) = service.traced(document, variables).await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        let spans = collector.trace(&trace);
        let has = |name: &str| spans.iter().any(|span| span.name == name);
        let cached = find(&spans, "query").attributes.get("graphql.operation.cached").cloned();
        (has("GraphQL Document Parsing"), has("GraphQL Document Validation"), cached)
    };
    let known = Some("true".to_owned());
    let scalar = "query($n: Int) { books(first: $n) { totalCount } }";
    assert_eq!(phases(scalar, json!({ "n": 1 })).await, (true, true, None));
    assert_eq!(phases(scalar, json!({ "n": 2 })).await, (false, false, known.clone()));
    let input = "query($by: BookOrder) { books(orderBy: $by) { totalCount } }";
    assert_eq!(phases(input, json!({})).await, (true, true, None));
    assert_eq!(phases(input, json!({})).await, (false, false, known));
}

/// One loader that two fields ask at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn links_a_batch_to_every_requesting_field() {
    let collector = Collector::start();
    let service = observed(&Db::sqlite(), &collector).await;
    fill(&service, 3).await;
    let document = "{ books { nodes { authors { id } writers: authors { name } } } }";
    let (trace, _) = service.traced(document, json!({})).await;
    let spans = collector.trace(&trace);
    let paths: Vec<_> =
        spans.iter().filter_map(|s| s.attributes.get("graphql.selection.path")).collect();
    assert!(paths.contains(&&"books.nodes.writers".to_owned()), "{paths:?}");
    let fields: Vec<_> = spans.iter().filter(|span| span.name == "Book.authors").collect();
    assert_eq!(fields.len(), 2, "{}", tree(&spans));
    let batch = find(&spans, "GraphQL DataLoader Batch authors");
    let mut links = batch.links.clone();
    let mut ids: Vec<_> = fields.iter().map(|field| field.id.clone()).collect();
    links.sort();
    ids.sort();
    assert_eq!(links, ids);
    assert!(ids.contains(&batch.parent));
}

/// They are loaded with the list, which is there all the same.
#[tokio::test(flavor = "multi_thread")]
async fn authors_that_cannot_be_loaded_are_errors_of_their_books() {
    let collector = Collector::start();
    let db = Db::sqlite();
    let service = observed(&db, &collector).await;
    fill(&service, 2).await;
    let spoiler = Database::connect(&db.url).await.unwrap();
    spoiler.execute_unprepared("DROP TABLE book_author").await.unwrap();
    let document = "{ books { edges { node { writers: authors { name } } } } }";
    let (trace, answer) = service.traced(document, json!({})).await;
    let paths: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| &error["path"]).collect();
    let path = |index| json!(["books", "edges", index, "node", "writers"]);
    assert_eq!(paths, [&path(0), &path(1)]);
    let spans = collector.trace(&trace);
    let field = find(&spans, "Book.authors");
    assert_eq!(field.attribute("graphql.selection.path"), "books.edges.node.writers");
    for (attribute, value) in [("graphql.field.calls", "2"), ("graphql.field.errors", "2")] {
        assert_eq!(field.attribute(attribute), value);
    }
    assert_eq!(find(&spans, "Query.books").status, 0);
}
