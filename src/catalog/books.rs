//! Books: find, list, create, update, delete.

pub mod filter;
pub mod input;
pub(super) mod insert;
pub mod isbn;
pub mod order;

use std::sync::LazyLock;

use entity::{author, book, book_author};
use opentelemetry::Context;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait,
    QueryFilter, QuerySelect, QueryTrait, Statement,
};

use crate::{
    catalog::{
        authors,
        books::{
            filter::BookFilter,
            input::{BookPatch, NewBook},
            insert::{now, on_taken_isbn},
            order::BookOrder,
        },
        changes::{BookChange, ChangeKind},
        constraint::Constraint,
        pagination::{Page, PageArgs, SortOrder},
        rows::{FromRow, columns, from_row},
        search, text,
        validation::Patch,
    },
    database::{Session, eq_any, notifier::Notifier},
    error::{Error, Result},
};

/// A book that was written, and what those who follow the catalog are to be told once it is committed.
#[derive(Debug)]
pub struct Written {
    /// The book.
    pub book: book::Model,
    /// What was done to it.
    pub change: BookChange,
}

columns!(book {
    id,
    title,
    title_key,
    pages,
    isbn13,
    published_year,
    language,
    created_at,
    updated_at,
    version,
});

/// The book with this id.
///
/// # Errors
/// If the database fails.
pub async fn find<C: ConnectionTrait>(db: &C, id: i64) -> Result<Option<book::Model>> {
    static FIND: LazyLock<String> =
        LazyLock::new(|| format!("SELECT {} FROM book WHERE id = $1", book::Model::COLUMNS));
    // Making the text anew with a query builder takes longer than reading the row.
    let statement = Statement::from_sql_and_values(db.get_database_backend(), &*FIND, [id.into()]);
    Ok(db.query_one_raw(statement).await?.map(|row| from_row(&row)).transpose()?)
}

/// The books with these ids, in no order.
///
/// # Errors
/// If the database fails.
pub async fn find_many<C: ConnectionTrait>(db: &C, ids: &[i64]) -> Result<Vec<book::Model>> {
    let known = eq_any(db.get_database_backend(), (book::Entity, book::Column::Id), ids);
    Ok(book::Entity::find().filter(known).all(db).await?)
}

/// The book with this ISBN, thirteen digits.
///
/// # Errors
/// If the database fails.
pub async fn find_by_isbn<C: ConnectionTrait>(db: &C, isbn13: &str) -> Result<Option<book::Model>> {
    Ok(book::Entity::find().filter(book::Column::Isbn13.eq(isbn13)).one(db).await?)
}

/// A page of the books that `filter` lets through, in `order`.
///
/// # Errors
/// [`Error::Invalid`] if the filter is, or if the database fails.
pub async fn list<C: ConnectionTrait>(
    db: &C,
    filter: &BookFilter,
    order: BookOrder,
    args: &PageArgs,
) -> Result<Page<book::Model>> {
    let condition = filter.condition()?;
    let is_filtered = !condition.is_empty();
    let select = book::Entity::find().filter(condition).into_query();
    let statement = order.page(db.get_database_backend(), select, args, is_filtered);
    let rows = db.query_all_raw(statement).await?;
    let books = rows.iter().map(from_row).collect::<std::result::Result<_, _>>()?;
    Ok(Page::new(books, args, |book| order.cursor(book)))
}

/// How many books `filter` lets through.
///
/// # Errors
/// [`Error::Invalid`] if the filter is, or if the database fails.
pub async fn count<C: ConnectionTrait>(db: &C, filter: &BookFilter) -> Result<u64> {
    Ok(book::Entity::find().filter(filter.condition()?).count(db).await?)
}

/// Enters a book, its authors and its search entry.
///
/// # Errors
/// [`Error::Invalid`] with every broken rule, or [`Error::Conflict`] if the ISBN is taken.
pub async fn create<C: ConnectionTrait>(db: &C, input: NewBook) -> Result<Written> {
    let input = input.checked()?;
    let authors = authors::resolve(db, &input.authors).await?;
    let book = insert::insert(db, input, &authors).await?;
    link(db, [(book.id, &*authors)]).await?;
    Ok(Written { change: BookChange::new(ChangeKind::Created, &book, ids(&authors)), book })
}

/// As [`create`], of a book without authors: this takes no transaction, and is done and told at once,
/// as the work of `cause`.
///
/// # Errors
/// As for [`create`].
pub async fn create_standalone(
    db: &Session<'_>,
    notifier: &Notifier,
    cause: Option<&Context>,
    input: NewBook,
) -> Result<book::Model> {
    insert::insert_standalone(db, notifier, cause, input.checked()?).await
}

fn ids(authors: &[author::Model]) -> Vec<i64> {
    authors.iter().map(|author| author.id).collect()
}

/// Changes a book. With `expected_version`, only if it has not been changed since.
///
/// # Errors
/// [`Error::Invalid`], [`Error::NotFound`], or [`Error::Conflict`] for a stale version and a
/// taken ISBN.
pub async fn update<C: ConnectionTrait>(
    db: &C,
    id: i64,
    patch: BookPatch,
    expected_version: Option<i32>,
) -> Result<Written> {
    let patch = patch.checked()?;
    // Locked, so that two updates of one book follow each other on PostgreSQL as they do on SQLite.
    let old = book::Entity::find_by_id(id).lock_exclusive().one(db).await?;
    let old = old.ok_or_else(|| Error::NotFound("the book".into()))?;
    expect_version(&old, expected_version)?;
    let authors = match patch.authors {
        Patch::Keep => None,
        Patch::Clear => Some(Vec::new()),
        Patch::Set(refs) => Some(authors::resolve(db, &refs).await?),
    };
    let changed = book::Model {
        title: patch.title.apply(Some(old.title.clone())).unwrap_or_default(),
        pages: patch.pages.apply(old.pages),
        isbn13: patch.isbn.apply(old.isbn13.clone()),
        published_year: patch.published_year.apply(old.published_year),
        language: patch.language.apply(old.language.clone()),
        ..old
    };
    replace(db, changed, authors.as_deref()).await
}

/// Writes a changed book as its next version, with these authors or those it has.
pub(super) async fn replace<C: ConnectionTrait>(
    db: &C,
    book: book::Model,
    authors: Option<&[author::Model]>,
) -> Result<Written> {
    let row = book::ActiveModel {
        title_key: Set(text::fold(&book.title)),
        title: Set(book.title),
        pages: Set(book.pages),
        isbn13: Set(book.isbn13),
        published_year: Set(book.published_year),
        language: Set(book.language),
        updated_at: Set(now()),
        version: Set(book.version + 1),
        ..Default::default()
    };
    let rows = book::Entity::update_many()
        .set(row)
        .filter(book::Column::Id.eq(book.id))
        .exec_with_returning(db)
        .await
        .map_err(on_taken_isbn)?;
    let book = rows.into_iter().next().ok_or_else(|| Error::NotFound("the book".into()))?;
    let (entry, told) = if let Some(authors) = authors {
        let mut told = unlink(db, book.id).await?;
        link(db, [(book.id, authors)]).await?;
        told.extend(ids(authors));
        (search::Entry::new(&book, authors), told)
    } else {
        let authors = authors::of_books(db, &[book.id]).await?.remove(&book.id);
        let authors = authors.unwrap_or_default();
        (search::Entry::new(&book, &authors), ids(&authors))
    };
    search::index(db, &[entry]).await?;
    Ok(Written { change: BookChange::new(ChangeKind::Updated, &book, told), book })
}

/// Deletes a book. With `expected_version`, only if it has not been changed since.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::Conflict`] for a stale version.
pub async fn delete<C: ConnectionTrait>(
    db: &C,
    id: i64,
    expected_version: Option<i32>,
) -> Result<BookChange> {
    let book = book::Entity::find_by_id(id).lock_exclusive().one(db).await?;
    let book = book.ok_or_else(|| Error::NotFound("the book".into()))?;
    expect_version(&book, expected_version)?;
    let authors = unlink(db, id).await?;
    search::remove(db, id).await?;
    book::Entity::delete_by_id(id).exec(db).await?;
    Ok(BookChange::new(ChangeKind::Deleted, &book, authors))
}

fn expect_version(book: &book::Model, expected: Option<i32>) -> Result<()> {
    match expected {
        Some(expected) if expected != book.version => Err(Error::Conflict(format!(
            "the book is at version {}, not {expected}: read it again and repeat the change",
            book.version
        ))),
        _ => Ok(()),
    }
}

/// Takes a book's authors from it, and returns their ids.
async fn unlink<C: ConnectionTrait>(db: &C, book: i64) -> Result<Vec<i64>> {
    let links = book_author::Entity::delete_many()
        .filter(book_author::Column::BookId.eq(book))
        .exec_with_returning(db)
        .await?;
    Ok(links.into_iter().map(|link| link.author_id).collect())
}

/// Links books to their authors, in their order.
pub(super) async fn link<C: ConnectionTrait>(
    db: &C,
    books: impl IntoIterator<Item = (i64, &[author::Model])>,
) -> Result<()> {
    const POSTGRES: &str = "INSERT INTO book_author (book_id, author_id, position) \
        SELECT book, author, position FROM jsonb_to_recordset($1::jsonb) \
        AS link (book bigint, author bigint, position integer)";
    const SQLITE: &str = "INSERT INTO book_author (book_id, author_id, position) \
        SELECT value ->> 'book', value ->> 'author', value ->> 'position' FROM json_each($1)";
    let mut links = Vec::new();
    for (book, authors) in books {
        links.extend(authors.iter().enumerate().map(|(position, author)| {
            serde_json::json!({ "book": book, "author": author.id, "position": position })
        }));
    }
    if links.is_empty() {
        return Ok(());
    }
    let backend = db.get_database_backend();
    let sql = if backend == DbBackend::Postgres { POSTGRES } else { SQLITE };
    let links = serde_json::Value::Array(links).to_string();
    db.execute_raw(Statement::from_sql_and_values(backend, sql, [links.into()])).await.map_err(
        |error| {
            Constraint::AuthorOfBook.conflict_or(error, || "an author was deleted meanwhile".into())
        },
    )?;
    Ok(())
}
