//! Which book of the catalog a row is, and what the row changes of it.

use std::collections::{HashMap, HashSet};

use entity::{author, book};
use sea_orm::{ConnectionTrait, EntityTrait, QueryFilter};

use crate::{
    catalog::{
        authors::{self, AuthorRef},
        import::row::Row,
        text,
    },
    database::eq_any,
    error::Result,
};

/// What makes a row one book and not another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    Isbn(String),
    Work { title: String, year: Option<i32>, authors: Vec<String> },
}

impl Identity {
    pub(super) fn of_row(row: &Row) -> Self {
        match &row.book.isbn {
            Some(isbn) => Self::Isbn(isbn.clone()),
            None => Self::Work {
                title: text::fold(&row.book.title),
                year: row.book.published_year,
                authors: row.author_keys(),
            },
        }
    }

    pub(super) fn of_book(book: &book::Model, authors: &[author::Model]) -> Self {
        match &book.isbn13 {
            Some(isbn) => Self::Isbn(isbn.clone()),
            None => Self::Work {
                title: book.title_key.clone(),
                year: book.published_year,
                authors: folded_names(authors).collect(),
            },
        }
    }
}

/// The names as rows have them. Not the stored keys: that of an author whose name another had first
/// differs (see the migration `latin_letters`).
fn folded_names(authors: &[author::Model]) -> impl Iterator<Item = String> {
    authors.iter().map(|author| text::fold(&author.name))
}

/// Rows of different books.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) rows: Vec<(Identity, Row)>,
    identities: HashSet<Identity>,
}

impl Batch {
    pub(super) fn has(&self, row: &Row) -> bool {
        self.identities.contains(&Identity::of_row(row))
    }

    pub(super) fn push(&mut self, row: Row) {
        let identity = Identity::of_row(&row);
        self.identities.insert(identity.clone());
        self.rows.push((identity, row));
    }
}

/// The book as the row would have it. An empty cell says nothing, so it changes nothing.
pub(super) fn merge<'a>(
    row: &'a Row,
    book: &book::Model,
    authors: &[author::Model],
) -> (book::Model, Option<&'a [AuthorRef]>) {
    let changed = book::Model {
        title: row.book.title.clone(),
        title_key: text::fold(&row.book.title),
        pages: row.book.pages.or(book.pages),
        published_year: row.book.published_year.or(book.published_year),
        language: row.book.language.clone().or_else(|| book.language.clone()),
        ..book.clone()
    };
    (changed, (!has_authors(row, authors)).then_some(&row.book.authors))
}

/// Whether a book has the authors of a row already: the same, or more. Exports with room for one
/// author leave out the others.
fn has_authors(row: &Row, authors: &[author::Model]) -> bool {
    let keys = row.author_keys();
    let mut known = folded_names(authors);
    if keys.len() < authors.len() {
        return keys.iter().all(|key| known.any(|name| name == *key));
    }
    known.eq(keys)
}

/// The books that rows of a batch are, with their authors.
pub(super) type Known = HashMap<Identity, (book::Model, Vec<author::Model>)>;

/// The books of the catalog that these rows are, with their authors.
pub(super) async fn known_books<C: ConnectionTrait>(
    tx: &C,
    rows: &[(Identity, Row)],
) -> Result<Known> {
    let (mut isbns, mut titles) = (Vec::new(), Vec::new());
    for (identity, _) in rows {
        match identity {
            Identity::Isbn(isbn) => isbns.push(isbn.as_str()),
            Identity::Work { title, .. } => titles.push(title.as_str()),
        }
    }
    let any =
        |column, texts: &[&str]| eq_any(tx.get_database_backend(), (book::Entity, column), texts);
    let mut books = Vec::new();
    if !isbns.is_empty() {
        let with_isbn = any(book::Column::Isbn13, &isbns);
        books.extend(book::Entity::find().filter(with_isbn).all(tx).await?);
    }
    if !titles.is_empty() {
        // Those with an ISBN are left out here and not by the database: before it has statistics, it
        // takes books without one to be few, and looks through them all, title by title.
        let with_title = book::Entity::find().filter(any(book::Column::TitleKey, &titles));
        let same_title = with_title.all(tx).await?;
        books.extend(same_title.into_iter().filter(|book| book.isbn13.is_none()));
    }
    let ids: Vec<i64> = books.iter().map(|book| book.id).collect();
    let mut authors = authors::of_books(tx, &ids).await?;
    let mut known = Known::new();
    for book in books {
        let authors = authors.remove(&book.id).unwrap_or_default();
        // Of several such books, which only the API can make, the oldest.
        known.entry(Identity::of_book(&book, &authors)).or_insert((book, authors));
    }
    Ok(known)
}
