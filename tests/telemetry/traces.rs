//! The shape of traces.

mod nested;
mod propagation;
mod proxies;
mod queries;
mod resource;
mod sampling;
mod transactions;

use serde_json::json;
use testing::{Service, collector::Span};

const NESTED: &str = "query Nested($first: Int) { books(first: $first) { nodes {
    title authors { name books(first: 3) { nodes { title } } } } } }";

async fn fill(service: &Service, books: usize) {
    for number in 0..books {
        let authors = [json!({ "name": format!("Author {}", number % 7) })];
        service.create(json!({ "title": format!("Book {number}"), "authors": authors })).await;
    }
}

fn find<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {spans:#?}"))
}
