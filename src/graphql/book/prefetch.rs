//! The authors of a list of books, loaded with the list where they are selected. A list at the root
//! has no siblings to share a batch with, so there is nothing to collect: its books need not each
//! ask, wait and be woken.

use async_graphql::{Context, QueryPathNode, QueryPathSegment, SelectionField};
use entity::book;
use graphql_telemetry::graphql::{Call, Execution, RequestingFields};

use super::{AuthorsOfBook, Book};
use crate::{
    catalog::pagination::Page,
    graphql::{context::RequestContext, dataloader::load},
};

/// The fields between a list of books and its books.
const WAYS: [&[&str]; 2] = [&["nodes"], &["edges", "node"]];

/// The books of a page that is the value of the field that `context` is of, with their authors if
/// they are selected.
pub async fn with_authors(context: &Context<'_>, page: Page<book::Model>) -> Page<Book> {
    let request = RequestContext::of(context);
    let calls = calls(request.execution(), context, page.items.len() as u64);
    if calls.is_empty() {
        return page.map(Book::from);
    }
    let mut fields = RequestingFields::default();
    for call in &calls {
        fields.add(call.field());
    }
    let ids = page.items.iter().map(|(_, book)| book.id).collect();
    let loaded = load::<AuthorsOfBook>(request.db(), &fields, ids).await;
    for call in calls {
        // The books have the error.
        let _ = call.end(loaded.as_ref().map(drop).map_err(Clone::clone));
    }
    page.map(|book| {
        let authors = loaded.as_ref().map_err(Clone::clone);
        let authors = authors.map(|all| all.get(&book.id).cloned().unwrap_or_default());
        Book { row: book, authors: Some(authors) }
    })
}

/// A call for each place where the authors of so many books are selected.
fn calls(execution: &Execution, context: &Context<'_>, books: u64) -> Vec<Call> {
    let mut calls = Vec::new();
    let Some(path) = context.path_node.as_ref().filter(|_| books > 0) else { return calls };
    for way in WAYS {
        along(context.field(), path, way, &mut |book, path| {
            for field in book.selection_set().filter(|field| field.name() == Book::AUTHORS) {
                let path = below(path, &field);
                calls.push(execution.calls(Book::TYPE, field.name(), &path, books));
            }
        });
    }
    calls
}

/// Hands every selection at the end of the fields of these names, one below the other, to `found`.
fn along(
    field: SelectionField<'_>,
    path: &QueryPathNode<'_>,
    names: &[&str],
    found: &mut dyn FnMut(SelectionField<'_>, &QueryPathNode<'_>),
) {
    let [name, rest @ ..] = names else { return found(field, path) };
    for child in field.selection_set().filter(|child| child.name() == *name) {
        along(child, &below(path, &child), rest, found);
    }
}

fn below<'a>(path: &'a QueryPathNode<'a>, field: &SelectionField<'a>) -> QueryPathNode<'a> {
    let key = field.alias().unwrap_or_else(|| field.name());
    QueryPathNode { parent: Some(path), segment: QueryPathSegment::Name(key) }
}
