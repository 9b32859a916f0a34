//! The authors of a list of books, loaded with the list where they are selected. A list at the root
//! has no siblings to share a batch with, so there is nothing to collect: its books need not each
//! ask, wait and be woken.

use async_graphql::{Context, QueryPathNode, QueryPathSegment, SelectionField};
use entity::book;

use super::{
    dataloader::load,
    loaders::{AuthorsOfBook, Owner, Resolving},
    types::Book,
};
use crate::{
    books::page::Page,
    telemetry::graphql::{Askers, Call},
};

/// The fields between a list of books and its books.
const WAYS: [&[&str]; 2] = [&["nodes"], &["edges", "node"]];

impl Resolving {
    /// The books of a page that is the value of the field that `context` is of, with their authors
    /// if they are selected.
    pub async fn with_authors(&self, context: &Context<'_>, page: Page<book::Model>) -> Page<Book> {
        let calls = self.calls_of_authors(context, page.items.len() as u64);
        if calls.is_empty() {
            return page.map(Book::from);
        }
        let mut askers = Askers::default();
        for call in &calls {
            askers.add(call.field());
        }
        let ids = page.items.iter().map(|(_, book)| book.id).collect();
        let loaded = load(&AuthorsOfBook::new(self.database()), &askers, ids).await;
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

    /// A call for each place where the authors are selected.
    fn calls_of_authors(&self, context: &Context<'_>, books: u64) -> Vec<Call> {
        let mut calls = Vec::new();
        let Some(path) = context.path_node.as_ref().filter(|_| books > 0) else { return calls };
        let owner = Owner::Type(Book::TYPE);
        for way in WAYS {
            along(context.field(), path, way, &mut |book, path| {
                for field in book.selection_set().filter(|field| field.name() == Book::AUTHORS) {
                    let path = below(path, &field);
                    calls.push(self.execution().calls(owner.name(), field.name(), &path, books));
                }
            });
        }
        calls
    }
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
