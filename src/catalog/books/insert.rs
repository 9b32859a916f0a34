//! Entering a book that was checked: its row, its authors and its search entry.

use chrono::{DateTime, SubsecRound, Utc};
use entity::{author, book};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use crate::{
    catalog::{
        books::input::NewBook,
        constraint::Constraint,
        rows::{FromRow, book_columns},
        search, text,
    },
    database::Session,
    error::{Error, Result},
};

const POSTGRES: &str = concat!(
    "INSERT INTO book (title, title_key, pages, isbn13, published_year, language, created_at, \
     updated_at, version, search_document, title_words) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 1, $8::tsvector, $9) RETURNING ",
    book_columns!()
);

/// Several statements in one text: each one for itself would go to the thread of its connection
/// and back, which costs more than the writing.
macro_rules! sqlite {
    () => {
        concat!(
            "INSERT INTO book (title, title_key, pages, isbn13, published_year, language, \
             created_at, updated_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 1) RETURNING ",
            book_columns!(),
            "; INSERT INTO book_search_place (book_id, place) \
             VALUES (last_insert_rowid(), $8 << 40 | last_insert_rowid()); \
             INSERT INTO book_search (rowid, title, authors) \
             VALUES ($8 << 40 | last_insert_rowid(), $9, $10)"
        )
    };
}
const SQLITE: &str = sqlite!();
const SQLITE_ALONE: &str = concat!("BEGIN IMMEDIATE; ", sqlite!(), "; COMMIT");

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
        DbBackend::Postgres => db.query_all_raw(postgres(input, authors)).await,
        _ => db.query_all_raw(sqlite(SQLITE, input, authors)).await,
    })
}

/// Enters a book without authors in a single round trip, which is a transaction by itself.
///
/// # Errors
/// [`Error::Conflict`] if the ISBN is taken.
pub async fn insert_standalone(db: &Session<'_>, input: NewBook) -> Result<book::Model> {
    only(match db.get_database_backend() {
        DbBackend::Postgres => db.query_all_raw(postgres(input, &[])).await,
        _ => db.transact(sqlite(SQLITE_ALONE, input, &[])).await,
    })
}

fn postgres(input: NewBook, authors: &[author::Model]) -> Statement {
    let (document, words) = search::Text::new(&input.title, authors).postgres();
    let values = columns(input).into_iter().chain([document.into(), words.into()]);
    Statement::from_sql_and_values(DbBackend::Postgres, POSTGRES, values)
}

fn sqlite(sql: &'static str, input: NewBook, authors: &[author::Model]) -> Statement {
    let (title, authors, length) = search::Text::new(&input.title, authors).sqlite();
    let values = columns(input).into_iter().chain([length.into(), title.into(), authors.into()]);
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

fn columns(input: NewBook) -> [Value; 7] {
    let title_key = text::fold(&input.title);
    [
        input.title.into(),
        title_key.into(),
        input.pages.into(),
        input.isbn.into(),
        input.published_year.into(),
        input.language.into(),
        now().into(),
    ]
}

fn only(rows: std::result::Result<Vec<QueryResult>, DbErr>) -> Result<book::Model> {
    let rows = rows.map_err(on_taken_isbn)?;
    let row = rows.first().ok_or(DbErr::RecordNotInserted)?;
    Ok(FromRow::read(row)?)
}

/// A conflict if another book has the ISBN, else the error itself.
pub fn on_taken_isbn(error: DbErr) -> Error {
    Constraint::BookIsbn.conflict_or(error, || "another book has this ISBN".into())
}

/// To the microsecond, which is what PostgreSQL keeps: an answer to a mutation must not
/// differ from the same book read back.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
