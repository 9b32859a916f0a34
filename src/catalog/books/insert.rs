//! Entering a book that was checked: its row, its authors and its search entry.

use std::sync::LazyLock;

use chrono::{DateTime, SubsecRound, Utc};
use entity::{author, book};
use opentelemetry::Context;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use crate::{
    catalog::{
        books::input::NewBook,
        changes,
        constraint::Constraint,
        rows::{FromRow, from_row},
        search, text,
    },
    database::{
        Session,
        notifier::{CHANNEL, Notifier},
    },
    error::{Error, Result},
};

/// The columns of a new book with their values. Statements are made of them once, from those of any book.
fn columns(input: NewBook) -> [(&'static str, Value); 9] {
    let (title_key, now) = (text::fold(&input.title), now());
    [
        ("title", input.title.into()),
        ("title_key", title_key.into()),
        ("pages", input.pages.into()),
        ("isbn13", input.isbn.into()),
        ("published_year", input.published_year.into()),
        ("language", input.language.into()),
        ("created_at", now.into()),
        ("updated_at", now.into()),
        ("version", 1.into()),
    ]
}

/// The names of those columns, their parameters, and how many there are.
fn names() -> (String, String, usize) {
    let names = columns(NewBook::default()).map(|(name, _)| name);
    let parameters: Vec<_> = (1..=names.len()).map(|n| format!("${n}")).collect();
    (names.join(", "), parameters.join(", "), names.len())
}

static POSTGRES: LazyLock<String> = LazyLock::new(|| {
    let (names, parameters, n) = names();
    let (document, words) = (n + 1, n + 2);
    format!(
        "INSERT INTO book ({names}, search_document, title_words) \
         VALUES ({parameters}, ${document}::tsvector, ${words}) RETURNING {}",
        book::Model::COLUMNS
    )
});
/// With the message of it, which has the new id.
static POSTGRES_STANDALONE: LazyLock<String> = LazyLock::new(|| {
    let (_, _, n) = names();
    let message = n + 3;
    format!("{}, pg_notify('{CHANNEL}', format(${message}, book.id))::text", *POSTGRES)
});

/// Several statements in one text: each one for itself would go to the thread of its connection
/// and back, which costs more than the writing.
static SQLITE: LazyLock<String> = LazyLock::new(|| {
    let (names, parameters, n) = names();
    let (length, title, authors) = (n + 1, n + 2, n + 3);
    format!(
        "INSERT INTO book ({names}) VALUES ({parameters}) RETURNING {}; \
         INSERT INTO book_search_place (book_id, place) \
         VALUES (last_insert_rowid(), ${length} << 40 | last_insert_rowid()); \
         INSERT INTO book_search (rowid, title, authors) \
         VALUES (${length} << 40 | last_insert_rowid(), ${title}, ${authors})",
        book::Model::COLUMNS
    )
});
static SQLITE_STANDALONE: LazyLock<String> =
    LazyLock::new(|| format!("BEGIN IMMEDIATE; {}; COMMIT", *SQLITE));

/// Enters a book within a transaction, its search entry with its authors too; but does not link it
/// to them.
///
/// # Errors
/// [`Error::Conflict`] if the ISBN is taken.
pub async fn insert<C: ConnectionTrait>(
    db: &C,
    input: NewBook,
    authors: &[author::Model],
) -> Result<book::Model> {
    only(match db.get_database_backend() {
        DbBackend::Postgres => db.query_all_raw(postgres(&POSTGRES, input, authors, None)).await,
        _ => db.query_all_raw(sqlite(&SQLITE, input, authors)).await,
    })
}

/// Enters a book without authors in a single round trip, which is a transaction by itself, and tells of it as the
/// work of `cause`.
///
/// # Errors
/// [`Error::Conflict`] if the ISBN is taken.
pub async fn insert_standalone(
    db: &Session<'_>,
    notifier: &Notifier,
    cause: Option<&Context>,
    input: NewBook,
) -> Result<book::Model> {
    if db.get_database_backend() == DbBackend::Postgres {
        let message = notifier.payload(&changes::message_of_created(cause));
        let insert = postgres(&POSTGRES_STANDALONE, input, &[], Some(message));
        return only(db.query_all_raw(insert).await);
    }
    let book = only(db.transact(sqlite(&SQLITE_STANDALONE, input, &[])).await)?;
    changes::tell_created(notifier, cause, &book);
    Ok(book)
}

fn postgres(
    sql: &str,
    input: NewBook,
    authors: &[author::Model],
    message: Option<String>,
) -> Statement {
    let (document, words) = search::Text::new(&input.title, authors).postgres();
    let message = message.map(Value::from);
    let values = values(input).chain([document.into(), words.into()]).chain(message);
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}

fn sqlite(sql: &str, input: NewBook, authors: &[author::Model]) -> Statement {
    let (title, authors, length) = search::Text::new(&input.title, authors).sqlite();
    let values = values(input).chain([length.into(), title.into(), authors.into()]);
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

fn values(input: NewBook) -> impl Iterator<Item = Value> {
    columns(input).into_iter().map(|(_, value)| value)
}

fn only(rows: std::result::Result<Vec<QueryResult>, DbErr>) -> Result<book::Model> {
    let rows = rows.map_err(on_taken_isbn)?;
    let row = rows.first().ok_or(DbErr::RecordNotInserted)?;
    Ok(from_row(row)?)
}

/// A conflict if another book has the ISBN, else the error itself.
pub fn on_taken_isbn(error: DbErr) -> Error {
    Constraint::BookIsbn.conflict_or(error, || "another book has this ISBN".into())
}

/// To the microsecond, which is what PostgreSQL keeps: a response to a mutation must not
/// differ from the same book read back.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
