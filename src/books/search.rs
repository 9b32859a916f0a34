//! Full-text search over titles and author names.
//!
//! Both databases get the same words (see `text::words`) and only match them; the
//! rank is computed from what both can tell, so that the same query has the same
//! answer in the same order: books whose title alone has every word come before
//! those that need an author's name for it, shorter titles before longer ones, then
//! the book entered first.

use entity::{author, book};
use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement, Value};

use super::{
    page::{Cursor, Key, Page, Window},
    rows::{InOrder, book_columns, column},
    text,
};
use crate::error::{Error, Result};

/// The most words a query may have.
pub const MAX_WORDS: usize = 20;

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
        let words = text::words(title);
        let title_words = words.len();
        let searchable = |words: Vec<String>, text: &str| [words, text::compounds(text)].concat();
        Self {
            title: searchable(words, title),
            authors: authors
                .iter()
                .flat_map(|author| searchable(text::words(&author.name), &author.name))
                .collect(),
            title_words,
        }
    }

    /// A `tsvector` in its text form, title words with weight A and author words with weight B, and
    /// the length of the title. Words have no quotes or backslashes, so none need escaping.
    #[must_use]
    pub fn postgres(&self) -> (String, i32) {
        let weighted = |words: &[String], weight| {
            words.iter().map(move |word| format!("'{word}':1{weight}")).collect::<Vec<_>>()
        };
        let document = [weighted(&self.title, 'A'), weighted(&self.authors, 'B')].concat();
        (document.join(" "), self.length())
    }

    /// The words of the title and of the authors, for FTS5, which splits at the spaces, and the
    /// length of the title.
    #[must_use]
    pub fn sqlite(&self) -> (String, String, i32) {
        (self.title.join(" "), self.authors.join(" "), self.length())
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

    /// A row for FTS5.
    fn sqlite(&self) -> serde_json::Value {
        let (title, authors, words) = self.text.sqlite();
        serde_json::json!({ "id": self.book_id, "title": title, "authors": authors, "words": words })
    }

    /// A row with a `tsvector`.
    fn postgres(&self) -> serde_json::Value {
        let (document, words) = self.text.postgres();
        serde_json::json!({ "id": self.book_id, "document": document, "words": words })
    }
}

const SQLITE_DELETE: &str = "DELETE FROM book_search WHERE rowid IN \
    (SELECT value ->> 'id' FROM json_each($1))";
const SQLITE_INSERT: &str = "INSERT INTO book_search (rowid, title, authors, title_words) \
    SELECT value ->> 'id', value ->> 'title', value ->> 'authors', value ->> 'words' \
    FROM json_each($1)";
const POSTGRES_UPSERT: &str = "INSERT INTO book_search (book_id, document, title_words) \
    SELECT id, document::tsvector, words \
    FROM jsonb_to_recordset($1::jsonb) AS entry (id bigint, document text, words integer) \
    ON CONFLICT (book_id) DO UPDATE \
    SET document = excluded.document, title_words = excluded.title_words";

/// Enters these books in the index, in place of what it held of them.
///
/// # Errors
/// If the database fails.
pub async fn index<C: ConnectionTrait>(db: &C, entries: &[Entry]) -> Result<()> {
    let backend = db.get_database_backend();
    let (statements, rows): (&[&str], Vec<_>) = match backend {
        DbBackend::Postgres => (&[POSTGRES_UPSERT], entries.iter().map(Entry::postgres).collect()),
        _ => (&[SQLITE_DELETE, SQLITE_INSERT], entries.iter().map(Entry::sqlite).collect()),
    };
    let rows = serde_json::Value::Array(rows).to_string();
    for sql in statements {
        db.execute_raw(Statement::from_sql_and_values(backend, *sql, [rows.as_str().into()]))
            .await?;
    }
    Ok(())
}

/// Takes a book out of the index. PostgreSQL does so by itself, through a foreign key;
/// a virtual table of SQLite cannot have one.
///
/// # Errors
/// If the database fails.
pub async fn remove<C: ConnectionTrait>(db: &C, book: i64) -> Result<()> {
    let backend = db.get_database_backend();
    if backend == DbBackend::Sqlite {
        let sql = "DELETE FROM book_search WHERE rowid = $1";
        db.execute_raw(Statement::from_sql_and_values(backend, sql, [book.into()])).await?;
    }
    Ok(())
}

/// A search query, taken apart.
#[derive(Clone, Debug)]
pub struct Search {
    words: Vec<String>,
    /// Names this search in cursors, so that one is not used with another.
    pub name: String,
}

impl Search {
    /// Reads a plain-word query. Punctuation and operators mean nothing in it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it has no word or more than [`MAX_WORDS`].
    pub fn new(query: &str) -> Result<Self> {
        let mut words = text::words(query);
        words.sort_unstable();
        words.dedup();
        if words.is_empty() || words.len() > MAX_WORDS {
            return Err(Error::invalid(
                ["query"],
                format!("must have 1 to {MAX_WORDS} words, not {}", words.len()),
            ));
        }
        let name = format!("search:{:08x}", crc32fast::hash(words.join(" ").as_bytes()));
        Ok(Self { words, name })
    }

    /// SQL for the matching rows of the index as `book_id`, `title_words` and `tier`, which is
    /// 0 where the title alone has every word, else 1; and its two parameters.
    fn matches(&self, backend: DbBackend) -> (&'static str, [String; 2]) {
        let joined = |quote: &str, weight: &str, and: &str| {
            let terms: Vec<String> =
                self.words.iter().map(|word| format!("{quote}{word}{quote}{weight}")).collect();
            terms.join(and)
        };
        match backend {
            DbBackend::Postgres => (
                "SELECT book_id, title_words, \
                 CASE WHEN document @@ $1::tsquery THEN 0 ELSE 1 END AS tier \
                 FROM book_search WHERE document @@ $2::tsquery",
                [joined("'", ":A", " & "), joined("'", "", " & ")],
            ),
            _ => (
                "SELECT rowid AS book_id, title_words, CASE WHEN rowid IN \
                 (SELECT rowid FROM book_search WHERE book_search MATCH $1) \
                 THEN 0 ELSE 1 END AS tier \
                 FROM book_search WHERE book_search MATCH $2",
                [format!("title : ({})", joined("\"", "", " AND ")), joined("\"", "", " AND ")],
            ),
        }
    }

    /// A page of the books that have every word, best first. Only forward: the window's
    /// direction is not looked at.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn page<C: ConnectionTrait>(
        &self,
        db: &C,
        window: &Window,
    ) -> Result<Page<book::Model>> {
        let rows = match self.foremost(db, window).await? {
            Some(rows) => rows,
            None => self.ranked(db, window).await?,
        };
        let page = Page::new(rows, window, |(book, rank)| Cursor {
            ordering: self.name.clone(),
            key: Key::Number(*rank),
            id: book.id,
        });
        Ok(page.map(|(book, _)| book))
    }

    /// The page, where the words are common enough to fill it from the shortest titles: PostgreSQL
    /// would rank all matches, however many, for the first few of them. SQLite has no index of
    /// titles by their length.
    async fn foremost<C: ConnectionTrait>(&self, db: &C, window: &Window) -> Result<Option<Rows>> {
        let (backend, (rank, id)) = (db.get_database_backend(), place(window));
        if backend != DbBackend::Postgres || rank >= OTHER_TIER {
            return Ok(None);
        }
        let (_, [title, _]) = self.matches(backend);
        for reach in REACHES {
            let values = [title.clone().into(), rank.into(), id.into(), limit(window)];
            let rows = books(db, &near(reach), values).await?;
            if rows.len() as u64 > window.limit {
                return Ok(Some(rows));
            }
            if rows.len() as u64 * (FURTHEST / reach) <= window.limit {
                break;
            }
        }
        Ok(None)
    }

    /// The page, of all matches ranked.
    async fn ranked<C: ConnectionTrait>(&self, db: &C, window: &Window) -> Result<Rows> {
        let (matches, [title, all]) = self.matches(db.get_database_backend());
        let hits = format!(
            "SELECT book_id, rank FROM (SELECT book_id, \
             CAST(tier * {OTHER_TIER} + title_words AS bigint) AS rank FROM ({matches}) AS matched) \
             AS ranked WHERE (rank, book_id) > ($3, $4) ORDER BY rank, book_id LIMIT $5"
        );
        let (rank, id) = place(window);
        books(db, &hits, [title.into(), all.into(), rank.into(), id.into(), limit(window)]).await
    }

    /// How many books have every word.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count<C: ConnectionTrait>(&self, db: &C) -> Result<u64> {
        let backend = db.get_database_backend();
        let (matches, [title, all]) = self.matches(backend);
        let sql = format!("SELECT COUNT(*) AS books FROM ({matches}) AS matched");
        let statement = Statement::from_sql_and_values(backend, sql, [title.into(), all.into()]);
        let books: i64 = match db.query_one_raw(statement).await? {
            Some(row) => row.try_get("", "books")?,
            None => 0,
        };
        Ok(books.unsigned_abs())
    }
}

/// Books with their ranks.
type Rows = Vec<(book::Model, i64)>;

/// Added to the rank of a book whose title alone does not have every word: no title has a million.
const OTHER_TIER: i64 = 1_000_000;

/// How many of the shortest titles are looked through for the words: further, if it seems from what
/// was found that they are common enough.
const REACHES: [u64; 3] = [128, 1_024, FURTHEST];
const FURTHEST: u64 = 8_192;

/// SQL for those of the next `reach` entries of the index whose title has every word.
fn near(reach: u64) -> String {
    format!(
        "SELECT book_id, CAST(title_words AS bigint) AS rank FROM (SELECT * FROM book_search \
         WHERE (title_words, book_id) > ($2, $3) ORDER BY title_words, book_id LIMIT {reach}) AS near \
         WHERE document @@ $1::tsquery ORDER BY title_words, book_id LIMIT $4"
    )
}

/// The books that `hits` has as `book_id` and `rank`. Joined last, so that only those of the page
/// are read.
async fn books<C: ConnectionTrait>(
    db: &C,
    hits: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Rows> {
    let sql = format!(
        concat!(
            "SELECT ",
            book_columns!(),
            ", hit.rank FROM ({}) AS hit JOIN book ON book.id = hit.book_id \
             ORDER BY hit.rank, hit.book_id"
        ),
        hits
    );
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let mut rows = Rows::new();
    for row in db.query_all_raw(statement).await? {
        let InOrder(book) = InOrder::from_query_result(&row, "")?;
        rows.push((book, column(&row, 10)?));
    }
    Ok(rows)
}

/// The rank and the id behind which the window begins.
fn place(window: &Window) -> (i64, i64) {
    match &window.from {
        Some(Cursor { key: Key::Number(rank), id, .. }) => (*rank, *id),
        _ => (-1, 0),
    }
}

/// One more than the window has, to learn whether there are more.
fn limit(window: &Window) -> Value {
    i64::try_from(window.limit + 1).unwrap_or(i64::MAX).into()
}
