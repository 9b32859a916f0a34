//! Changes of books, as those who follow the catalog are told of them: by whom they were made does not matter, and
//! neither does in which process.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use entity::book;
use graphql_telemetry::trace_context;
use opentelemetry::{Context, trace::SpanContext};
use serde::{Deserialize, Serialize};

use crate::{
    database::{
        Database, Transaction,
        notifier::{MAX_MESSAGE, Notifier},
    },
    error::Result,
};

/// What was done to a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeKind {
    /// It was created.
    #[serde(rename = "c")]
    Created,
    /// It was updated.
    #[serde(rename = "u")]
    Updated,
    /// It was deleted.
    #[serde(rename = "d")]
    Deleted,
}

/// A change of a book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookChange {
    /// What was done.
    #[serde(rename = "k")]
    pub kind: ChangeKind,
    /// The book.
    pub id: i64,
    /// Its version since then; of a deleted book, its last.
    #[serde(rename = "v")]
    pub version: i32,
    /// Its authors, before and after.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<i64>,
}

impl BookChange {
    /// What was done to `book`, which has or had these authors.
    #[must_use]
    pub fn new(kind: ChangeKind, book: &book::Model, authors: Vec<i64>) -> Self {
        Self { kind, id: book.id, version: book.version, authors }
    }
}

/// Which changes somebody follows: all, unless it says otherwise.
#[derive(Clone, Debug, Default)]
pub struct ChangeFilter {
    /// Those of these books.
    pub ids: Option<HashSet<i64>>,
    /// Those of books that this author wrote, before the change or after.
    pub author: Option<i64>,
    /// Those of these kinds.
    pub kinds: Option<Vec<ChangeKind>>,
}

impl ChangeFilter {
    /// Whether a change is one of them.
    #[must_use]
    pub fn matches(&self, change: &BookChange) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&change.id))
            && self.author.is_none_or(|author| change.authors.contains(&author))
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&change.kind))
    }
}

/// Changes of one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// When they were made.
    pub at: SystemTime,
    /// The span that made them, unless it is not traced.
    pub cause: Option<SpanContext>,
    /// The changes, in their order.
    pub books: Vec<BookChange>,
}

/// As it is sent.
#[derive(Deserialize)]
struct Message {
    /// Microseconds since 1970.
    at: u64,
    trace: Option<String>,
    books: Vec<BookChange>,
}

impl Changes {
    /// Reads a message.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let Message { at, trace, books } = serde_json::from_str(text).ok()?;
        let cause = trace.as_deref().and_then(trace_context::parse);
        Some(Self { at: UNIX_EPOCH + Duration::from_micros(at), cause, books })
    }
}

/// Commits a transaction that made these changes for `cause`, and tells all who follow the catalog.
///
/// # Errors
/// If the transaction was not committed.
pub async fn commit(
    db: &Database,
    tx: Transaction,
    cause: Option<&Context>,
    changes: &[BookChange],
) -> Result<()> {
    Ok(db.notifier().commit(tx, messages(cause, changes)).await?)
}

/// The message of a book that a statement creates by itself, with `%s` in the place of the id.
pub(super) fn message_of_created(cause: Option<&Context>) -> String {
    message(&head(cause), r#"{"k":"c","id":%s,"v":1}"#)
}

/// Tells that a statement created a book by itself, where the statement could not.
pub(super) fn tell_created(notifier: &Notifier, cause: Option<&Context>, book: &book::Model) {
    let change = BookChange::new(ChangeKind::Created, book, Vec::new());
    for message in messages(cause, &[change]) {
        notifier.deliver(message.into());
    }
}

/// The changes in as many messages as they need.
fn messages(cause: Option<&Context>, changes: &[BookChange]) -> Vec<String> {
    /// Bytes around the head and the changes, and of the number that PostgreSQL's have.
    const ROOM: usize = 100;
    let head = head(cause);
    let (mut all, mut books) = (Vec::new(), String::new());
    for change in changes {
        // No map with other keys than strings, which is what fails.
        let change = serde_json::to_string(change).unwrap_or_default();
        if !books.is_empty() && head.len() + books.len() + change.len() + ROOM > MAX_MESSAGE {
            all.push(message(&head, &books));
            books.clear();
        }
        if !books.is_empty() {
            books.push(',');
        }
        books.push_str(&change);
    }
    if !books.is_empty() {
        all.push(message(&head, &books));
    }
    all
}

fn head(cause: Option<&Context>) -> String {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    match cause.and_then(trace_context::traceparent) {
        Some(trace) => format!(r#""at":{at},"trace":"{trace}""#),
        None => format!(r#""at":{at}"#),
    }
}

fn message(head: &str, books: &str) -> String {
    format!(r#"{{{head},"books":[{books}]}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: i64, authors: usize) -> BookChange {
        let authors = (1..).take(authors).collect();
        BookChange { kind: ChangeKind::Updated, id, version: 2, authors }
    }

    #[test]
    fn reads_what_it_writes() {
        let changes: Vec<_> = (1..=3).map(|id| change(i64::MAX - id, 2)).collect();
        let [message] = &messages(None, &changes)[..] else { panic!("one message") };
        let read = Changes::read(message).unwrap();
        assert_eq!(read.books, changes);
        assert!(read.at.elapsed().unwrap() < Duration::from_mins(1));
        let created = message_of_created(None).replace("%s", "42");
        let created = Changes::read(&created).unwrap().books;
        assert_eq!(
            created,
            [BookChange { kind: ChangeKind::Created, version: 1, ..change(42, 0) }]
        );
        assert_eq!(Changes::read("{}"), None);
    }

    #[test]
    fn splits_what_is_too_long_for_a_message() {
        let changes: Vec<_> = (1..=250).map(|id| change(i64::MAX - id, 10)).collect();
        let messages = messages(None, &changes);
        assert!(messages.len() > 1 && messages.iter().all(|it| it.len() < MAX_MESSAGE));
        let read = messages.iter().flat_map(|message| Changes::read(message).unwrap().books);
        assert!(read.eq(changes));
        assert!(super::messages(None, &[]).is_empty());
    }
}
