//! Import of books from CSV, in batches, each a transaction.
//!
//! A row is the book that has its ISBN or, without one, the book without an ISBN that
//! has its title, year and authors. So a file imported twice changes nothing the second
//! time, and an import that was killed half-way is finished by running it again.

mod columns;
mod matching;
mod names;
mod reader;
mod report;
mod row;
mod values;

use std::{io::Read, time::Duration};

use entity::{author, book};
use graphql_telemetry::sea_orm::{OnlySlow, current};
use regex::Regex;
use roaring::RoaringTreemap;
use sea_orm::{ConnectionTrait, DbBackend};
use tracing::{Instrument, field::Empty, info_span, instrument};

use self::matching::{Batch, Identity, known_books, merge};
pub use self::{
    columns::{Field, Mapping},
    reader::{Layout, ReadOptions},
    report::{CheckSummary, Report, Summary, UnreadCounts},
    row::UnreadValue,
};
use crate::{
    catalog::{
        authors,
        books::{self, insert},
        changes::{self, BookChange, ChangeKind},
        import::row::Row,
        metrics,
    },
    database::Database,
    error::{Error, Result},
};

/// Rows in a transaction: enough to make commits cheap, few enough to let other writers in.
const BATCH: usize = 250;

/// Books after which PostgreSQL first analyzes its tables. By itself it would within a minute, and until then
/// execute the plans of empty tables: a sequential scan for each batch.
const FIRST_LOOK: u64 = 1_000;

/// Statements of an import that take this long have spans: there are some hundred in a batch.
const SLOW: Duration = Duration::from_millis(5);

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
        let mut changes = Vec::new();
        for (identity, row) in rows {
            outcomes.push(if let Some(known) = known.get(identity) {
                self.update(&tx, row, known, &mut changes).await?
            } else {
                let authors = named.in_order(&row.book.authors)?;
                let book = insert::insert(&tx, row.book.clone(), &authors).await?;
                let ids = authors.iter().map(|author| author.id).collect();
                changes.push(BookChange::new(ChangeKind::Created, &book, ids));
                linked.push((book.id, authors));
                Outcome::Added(book.id)
            });
        }
        books::link(&tx, linked.iter().map(|(book, authors)| (*book, &**authors))).await?;
        changes::commit(self.db, tx, current().as_ref(), &changes).await?;
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
        told: &mut Vec<BookChange>,
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
        told.push(books::replace(tx, changed, new_authors.as_deref()).await?.change);
        Ok(Outcome::Updated(book.id))
    }
}

/// Whether the failure has nothing to do with the rows, so that no other row would fare better.
fn is_fatal(error: &Error) -> bool {
    error.code().is_server_fault() || error.denial().is_some()
}
