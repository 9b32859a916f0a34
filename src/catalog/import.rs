//! Import of books from CSV, in batches, each a transaction.
//!
//! A row is the book that has its ISBN or, without one, the book without an ISBN that
//! has its title, year and authors. So a file imported twice changes nothing the second
//! time, and an import that was killed half-way is finished by running it again.

mod columns;
mod names;
mod reader;
mod row;
mod values;

use std::{collections::HashMap, io::Read, time::Duration};

use entity::{author, book};
use graphql_telemetry::sea_orm::{OnlySlow, current};
use regex::Regex;
use roaring::RoaringTreemap;
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, QueryFilter};
use tracing::{Instrument, field::Empty, info_span, instrument};

pub use self::columns::Field;
pub use self::columns::Mapping;
pub use self::reader::Layout;
pub use self::reader::ReadOptions;
pub use self::row::UnreadValue;
use crate::{
    catalog::{
        authors::{self, AuthorRef},
        books::{self, insert},
        import::row::Row,
        metrics, text,
    },
    database::{Database, eq_any},
    error::{Error, Result},
};

/// Rows in a transaction: enough to make commits cheap, few enough to let other writers in.
const BATCH: usize = 250;

/// Books after which PostgreSQL is first told to look at its tables. By itself it would within a
/// minute, and until then go on as was best when they were empty: through all rows for each batch.
const FIRST_LOOK: u64 = 1_000;

/// Statements of an import that take this long have spans: there are some hundred in a batch.
const SLOW: Duration = Duration::from_millis(5);

/// What became of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Books that were new.
    pub added: u64,
    /// Books that the row changed.
    pub updated: u64,
    /// Books that were already so.
    pub unchanged: u64,
    /// Rows that did not go in; each was reported with its line and reason.
    pub refused: u64,
    /// Values that rows went in without.
    pub unread: UnreadCounts,
}

/// The rows of a file that is checked and not imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckSummary {
    /// Rows that can go in.
    pub accepted: u64,
    /// Rows that cannot; each was reported with its line and reason.
    pub refused: u64,
    /// Values that rows would go in without.
    pub unread: UnreadCounts,
}

/// How many rows have a value that cannot be read, for each field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreadCounts([u64; Field::ALL.len()]);

impl UnreadCounts {
    /// How many rows have no readable value for this field where the file has something.
    #[must_use]
    pub const fn of(&self, field: Field) -> u64 {
        self.0[field as usize]
    }

    fn add(&mut self, row: &Row, report: &mut impl Report) {
        for unread in &row.unread {
            self.0[unread.field as usize] += 1;
            report.unread(row.line, unread);
        }
    }
}

/// Receives what happens during an import.
pub trait Report {
    /// The header row was read; no row has been yet.
    fn layout(&mut self, layout: &Layout);
    /// The row that begins at `line` did not go in.
    fn refused(&mut self, line: u64, reason: &str);
    /// The row that begins at `line` went in without this value.
    fn unread(&mut self, line: u64, unread: &UnreadValue);
}

/// Imports the books of a CSV file with a header row, reading it as a stream.
///
/// # Errors
/// [`Invalid`](crate::error::Error::Invalid) if reading or decoding fails, or the header lacks a title column or one that
/// the options name; or the database's error. What was committed stays.
pub async fn import(
    db: &Database,
    source: impl Read + Send,
    options: &ReadOptions,
    report: &mut impl Report,
) -> Result<Summary> {
    let span = info_span!(
        "import books",
        otel.status_code = Empty,
        import.added = Empty,
        import.updated = Empty,
        import.unchanged = Empty,
        import.refused = Empty,
    );
    let result = import_rows(db, source, options, report).instrument(span.clone()).await;
    match &result {
        Ok(summary) => {
            span.record("import.added", integer(summary.added));
            span.record("import.updated", integer(summary.updated));
            span.record("import.unchanged", integer(summary.unchanged));
            span.record("import.refused", integer(summary.refused));
        }
        Err(_) => _ = span.record("otel.status_code", "ERROR"),
    }
    result
}

/// For attributes: `tracing-opentelemetry` makes texts of unsigned integers.
fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn import_rows(
    db: &Database,
    source: impl Read + Send,
    options: &ReadOptions,
    report: &mut impl Report,
) -> Result<Summary> {
    let mut reader = reader::open(source, options)?;
    report.layout(&reader.layout());
    let (seen, summary) = (RoaringTreemap::new(), Summary::default());
    let mut import = Import { db, seen, summary, next_look: FIRST_LOOK };
    let mut batch = Batch::default();
    while let Some((line, row)) = reader.next()? {
        match row {
            Ok(row) => {
                if batch.rows.len() == BATCH || batch.has(&row) {
                    import.flush(&mut batch, report).await?;
                }
                batch.push(row);
            }
            Err(reason) => import.refuse(line, &reason, report),
        }
    }
    import.flush(&mut batch, report).await?;
    Ok(import.summary)
}

/// Reads a file as [`import`] does and writes nothing.
///
/// # Errors
/// As for [`import`], without those of the database.
pub fn check(
    source: impl Read + Send,
    options: &ReadOptions,
    report: &mut impl Report,
) -> Result<CheckSummary> {
    let mut reader = reader::open(source, options)?;
    report.layout(&reader.layout());
    let mut summary = CheckSummary::default();
    while let Some((line, row)) = reader.next()? {
        match row {
            Ok(row) => {
                summary.accepted += 1;
                summary.unread.add(&row, report);
            }
            Err(reason) => {
                summary.refused += 1;
                report.refused(line, &reason);
            }
        }
    }
    Ok(summary)
}

/// Compiles a pattern of this module.
fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// What makes a row one book and not another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Identity {
    Isbn(String),
    Work { title: String, year: Option<i32>, authors: Vec<String> },
}

impl Identity {
    fn of_row(row: &Row) -> Self {
        match &row.book.isbn {
            Some(isbn) => Self::Isbn(isbn.clone()),
            None => Self::Work {
                title: text::fold(&row.book.title),
                year: row.book.published_year,
                authors: row.author_keys(),
            },
        }
    }

    fn of_book(book: &book::Model, authors: &[author::Model]) -> Self {
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
struct Batch {
    rows: Vec<(Identity, Row)>,
    identities: std::collections::HashSet<Identity>,
}

impl Batch {
    fn has(&self, row: &Row) -> bool {
        self.identities.contains(&Identity::of_row(row))
    }

    fn push(&mut self, row: Row) {
        let identity = Identity::of_row(&row);
        self.identities.insert(identity.clone());
        self.rows.push((identity, row));
    }
}

/// What a row did.
enum Outcome {
    Added(i64),
    Updated(i64),
    Unchanged(i64),
    /// An earlier row of this import is the same book and says something else.
    Repeated,
}

struct Import<'a> {
    db: &'a Database,
    /// The books that rows of this import have been matched to. A few bits a book, so
    /// that memory stays flat.
    seen: RoaringTreemap,
    summary: Summary,
    /// Added books at which PostgreSQL is to look at its tables again.
    next_look: u64,
}

impl Import<'_> {
    fn refuse(&mut self, line: u64, reason: &str, report: &mut impl Report) {
        self.summary.refused += 1;
        report.refused(line, reason);
    }

    /// Writes the batch. If it fails through one of its rows, its rows one by one.
    async fn flush(&mut self, batch: &mut Batch, report: &mut impl Report) -> Result<()> {
        let rows = std::mem::take(batch).rows;
        match self.write(&rows).await {
            Ok(outcomes) => self.count(&rows, &outcomes, report),
            Err(error) if is_fatal(&error) => return Err(error),
            Err(_) => {
                for row in rows.chunks(1) {
                    match self.write(row).await {
                        Ok(outcomes) => self.count(row, &outcomes, report),
                        Err(error) if is_fatal(&error) => return Err(error),
                        Err(error) => self.refuse(row[0].1.line, &error.to_string(), report),
                    }
                }
            }
        }
        if self.summary.added >= self.next_look {
            self.look().await?;
            self.next_look = 2 * self.summary.added;
        }
        Ok(())
    }

    /// Has PostgreSQL plan statements by what is in the tables now. It skips, with a warning, tables
    /// that the role does not own; a server that rejects the statement is left to its autovacuum.
    async fn look(&self) -> Result<()> {
        match self.analyze().await {
            Err(error) if error.denial().is_some() => Ok(()),
            result => result,
        }
    }

    #[instrument(name = "analyze tables", skip_all)]
    async fn analyze(&self) -> Result<()> {
        let tx = self.db.begin(current().as_ref()).await?;
        if tx.get_database_backend() == DbBackend::Postgres {
            tx.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
            tx.execute_unprepared("ANALYZE book, author, book_author").await?;
        }
        tx.commit().await?;
        Ok(())
    }

    fn count(&mut self, rows: &[(Identity, Row)], outcomes: &[Outcome], report: &mut impl Report) {
        for ((_, row), outcome) in rows.iter().zip(outcomes) {
            let (counter, id) = match outcome {
                Outcome::Added(id) => (&mut self.summary.added, id),
                Outcome::Updated(id) => (&mut self.summary.updated, id),
                Outcome::Unchanged(id) => (&mut self.summary.unchanged, id),
                Outcome::Repeated => {
                    let reason = "is the same book as an earlier row, with other details";
                    self.refuse(row.line, reason, report);
                    continue;
                }
            };
            *counter += 1;
            self.summary.unread.add(row, report);
            self.seen.insert(id.unsigned_abs());
        }
    }

    #[instrument(name = "import batch", skip_all, fields(import.rows = integer(rows.len() as u64)))]
    async fn write(&self, rows: &[(Identity, Row)]) -> Result<Vec<Outcome>> {
        let tx = self.db.begin(OnlySlow::than(SLOW).as_ref()).await?;
        let known = known_books(&tx, rows).await?;
        let new = rows.iter().filter(|(identity, _)| !known.contains_key(identity));
        let named = new.flat_map(|(_, row)| &row.book.authors);
        let named = authors::look_up(&tx, named).await?;
        let (mut outcomes, mut linked) = (Vec::with_capacity(rows.len()), Vec::new());
        for (identity, row) in rows {
            outcomes.push(if let Some(known) = known.get(identity) {
                self.update(&tx, row, known).await?
            } else {
                let authors = named.in_order(&row.book.authors)?;
                let book = insert::insert(&tx, row.book.clone(), &authors).await?;
                linked.push((book.id, authors));
                Outcome::Added(book.id)
            });
        }
        books::link(&tx, linked.iter().map(|(book, authors)| (*book, &**authors))).await?;
        tx.commit().await?;
        let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|o| is(o)).count() as u64;
        metrics::created(count(|outcome| matches!(outcome, Outcome::Added(_))));
        metrics::updated(count(|outcome| matches!(outcome, Outcome::Updated(_))));
        Ok(outcomes)
    }

    async fn update<C: ConnectionTrait>(
        &self,
        tx: &C,
        row: &Row,
        (book, authors): &(book::Model, Vec<author::Model>),
    ) -> Result<Outcome> {
        let (changed, new_authors) = merge(row, book, authors);
        if changed == *book && new_authors.is_none() {
            return Ok(Outcome::Unchanged(book.id));
        }
        if self.seen.contains(book.id.unsigned_abs()) {
            return Ok(Outcome::Repeated);
        }
        let new_authors = match new_authors {
            Some(refs) => Some(authors::resolve(tx, refs).await?),
            None => None,
        };
        books::replace(tx, changed, new_authors.as_deref()).await?;
        Ok(Outcome::Updated(book.id))
    }
}

/// Whether the failure has nothing to do with the rows, so that no other row would fare better.
fn is_fatal(error: &Error) -> bool {
    error.code().is_server_fault() || error.denial().is_some()
}

/// The book as the row would have it. An empty cell says nothing, so it changes nothing.
fn merge<'a>(
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

type Known = HashMap<Identity, (book::Model, Vec<author::Model>)>;

/// The books of the catalog that these rows are, with their authors.
async fn known_books<C: ConnectionTrait>(tx: &C, rows: &[(Identity, Row)]) -> Result<Known> {
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
