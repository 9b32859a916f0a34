//! Full-text search over titles and author names.
//!
//! Both databases get the same words (see `text::words`) and only match them; the
//! rank is computed from what both know, so that the same query has the same
//! answer in the same order: books whose title alone has every word come before
//! those that need an author's name for it, shorter titles before longer ones, then
//! the book entered first.

mod postgres;
mod sqlite;

use entity::{author, book};
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use crate::{
    catalog::{
        pagination::{Cursor, Key, Page, PageArgs},
        rows::{Columns, FromRow},
        text,
    },
    error::{Error, Result},
};

/// The most words a query may have.
pub const MAX_WORDS: usize = 20;

/// Added to the rank of a book whose title alone does not have every word: no title has a million.
const OTHER_TIER: i64 = 1_000_000;

/// What the index holds of a book.
#[derive(Debug)]
pub struct Entry {
    book_id: i64,
    text: Text,
}

/// The words by which a book is found.
#[derive(Debug)]
pub struct Text {
    title: Vec<String>,
    authors: Vec<String>,
    /// The length of the title, for the rank.
    title_words: usize,
}

impl Text {
    /// Of a book with this title and these authors.
    #[must_use]
    pub fn new(title: &str, authors: &[author::Model]) -> Self {
        let (mut title, compounds) = text::words_and_compounds(title);
        let title_words = title.len();
        title.extend(compounds);
        let names = authors.iter().flat_map(|author| {
            let (words, compounds) = text::words_and_compounds(&author.name);
            words.into_iter().chain(compounds)
        });
        Self { title, authors: names.collect(), title_words }
    }

    fn length(&self) -> i32 {
        i32::try_from(self.title_words).unwrap_or(i32::MAX)
    }
}

impl Entry {
    /// The entry of `book` and its authors.
    #[must_use]
    pub fn new(book: &book::Model, authors: &[author::Model]) -> Self {
        Self { book_id: book.id, text: Text::new(&book.title, authors) }
    }
}

/// Enters these books in the index, in place of what it held of them.
///
/// # Errors
/// If the database fails.
pub async fn index<C: ConnectionTrait>(db: &C, entries: &[Entry]) -> Result<()> {
    match db.get_database_backend() {
        DbBackend::Postgres => postgres::index(db, entries).await,
        _ => sqlite::index(db, entries).await,
    }
}

/// Does `statements` with `rows`, the same for each, as JSON.
async fn enter<C: ConnectionTrait>(
    db: &C,
    statements: &[&str],
    rows: impl Iterator<Item = serde_json::Value>,
) -> Result<()> {
    let rows = rows.collect::<serde_json::Value>().to_string();
    for sql in statements {
        let values = [rows.as_str().into()];
        let statement = Statement::from_sql_and_values(db.get_database_backend(), *sql, values);
        db.execute_raw(statement).await?;
    }
    Ok(())
}

/// Takes a book out of the index, before it is deleted. PostgreSQL has the entry in the book's row;
/// a virtual table of SQLite cannot even have a foreign key.
///
/// # Errors
/// If the database fails.
pub async fn remove<C: ConnectionTrait>(db: &C, book: i64) -> Result<()> {
    match db.get_database_backend() {
        DbBackend::Postgres => Ok(()),
        _ => sqlite::remove(db, book).await,
    }
}

/// A search query, taken apart.
#[derive(Clone, Debug)]
pub struct Search {
    words: Vec<String>,
    /// Names this search in cursors, so that one is not used with another.
    pub name: String,
}

impl Search {
    /// Reads a plain-word query. Punctuation and operators mean nothing in it, and a symbol such as
    /// an emoji is in no index: a query of symbols alone has no words, and finds nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it has nothing to search for, or more than [`MAX_WORDS`] words.
    pub fn new(query: &str) -> Result<Self> {
        let mut words = text::words(query);
        words.sort_unstable();
        words.dedup();
        let is_ignored = |c: char| c.is_whitespace() || c.is_ascii_punctuation();
        let is_blank = words.is_empty() && query.chars().all(is_ignored);
        if is_blank || words.len() > MAX_WORDS {
            return Err(Error::invalid(
                ["query"],
                format!("must have 1 to {MAX_WORDS} words, not {}", words.len()),
            ));
        }
        let name = format!("search:{:08x}", crc32fast::hash(words.join(" ").as_bytes()));
        Ok(Self { words, name })
    }

    /// Each word between quotes and with what is to follow it, joined by an operator.
    fn terms(&self, quote: char, suffix: &str, and: &str) -> String {
        let terms = self.words.iter().map(|word| format!("{quote}{word}{quote}{suffix}"));
        terms.collect::<Vec<_>>().join(and)
    }

    /// A page of the books that have every word, best first. Only forward: the page's
    /// direction is not looked at.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn page<C: ConnectionTrait>(
        &self,
        db: &C,
        args: &PageArgs,
    ) -> Result<Page<book::Model>> {
        let rows = match db.get_database_backend() {
            _ if self.words.is_empty() => Rows::new(),
            DbBackend::Postgres => postgres::page(db, self, args).await?,
            _ => sqlite::page(db, self, args).await?,
        };
        let page = Page::new(rows, args, |(book, rank)| Cursor {
            ordering: self.name.clone(),
            key: Key::Number(*rank),
            id: book.id,
        });
        Ok(page.map(|(book, _)| book))
    }

    /// How many books have every word.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count<C: ConnectionTrait>(&self, db: &C) -> Result<u64> {
        if self.words.is_empty() {
            return Ok(0);
        }
        let backend = db.get_database_backend();
        let (sql, words) = match backend {
            DbBackend::Postgres => (postgres::COUNT, postgres::anywhere(self)),
            _ => (sqlite::COUNT, sqlite::anywhere(self)),
        };
        let statement = Statement::from_sql_and_values(backend, sql, [words.into()]);
        let books: i64 = match db.query_one_raw(statement).await? {
            Some(row) => Columns::of(&row).next()?,
            None => 0,
        };
        Ok(books.unsigned_abs())
    }
}

/// Books with their ranks.
type Rows = Vec<(book::Model, i64)>;

/// The books that `sql` selects, with their ranks behind their columns.
async fn books<C: ConnectionTrait>(
    db: &C,
    sql: String,
    values: impl IntoIterator<Item = Value>,
) -> Result<Rows> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let mut rows = Rows::new();
    for row in db.query_all_raw(statement).await? {
        let mut columns = Columns::of(&row);
        rows.push((FromRow::read(&mut columns)?, columns.next()?));
    }
    Ok(rows)
}

/// The rank and the id behind which the page begins. The first page begins behind nothing.
fn place(args: &PageArgs) -> (i64, i64) {
    match &args.from {
        Some(Cursor { key: Key::Number(rank), id, .. }) => (*rank, *id),
        _ => (-1, 0),
    }
}

/// One more than the page has, to learn whether there are more.
fn limit(args: &PageArgs) -> Value {
    i64::try_from(args.limit + 1).unwrap_or(i64::MAX).into()
}
