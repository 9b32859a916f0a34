//! The index on SQLite: FTS5 finds matches in the order of its row ids, so these are made from what
//! the books are ranked by, and a page is read from where it begins to where it ends, however many
//! match. Such an id is a book's place: the length of its title before its own id. A table beside
//! the index has it for each book, since a changed title is a new place.

use entity::book;
use sea_orm::{ConnectionTrait, Statement, Value};

use crate::{
    catalog::{
        rows::FromRow,
        search::{Entry, OTHER_TIER, PageArgs, Rows, Search, Text, books, enter, limit, place},
    },
    error::Result,
};

/// Bits of a place that are the book's id: enough for a million million, and there are 23 for the
/// length. Migrations and statements have it as a number.
const ID_BITS: i64 = 40;

const DELETE: &str = "DELETE FROM book_search WHERE rowid IN (SELECT place FROM book_search_place \
    WHERE book_id IN (SELECT value ->> 'id' FROM json_each($1)))";
const PLACE: &str = "INSERT OR REPLACE INTO book_search_place (book_id, place) \
    SELECT value ->> 'id', value ->> 'place' FROM json_each($1)";
/// In the order of the places: FTS5 writes what it has collected whenever an id is less than the last.
const INSERT: &str = "INSERT INTO book_search (rowid, title, authors) \
    SELECT value ->> 'place' AS place, value ->> 'title', value ->> 'authors' \
    FROM json_each($1) ORDER BY place";
const REMOVE: &str = "DELETE FROM book_search \
    WHERE rowid = (SELECT place FROM book_search_place WHERE book_id = $1)";

/// How many books match.
pub const COUNT: &str = "SELECT COUNT(*) FROM book_search WHERE book_search MATCH $1";

impl Text {
    /// The words of the title and of the authors, for FTS5, which splits at the spaces, and the
    /// length of the title.
    #[must_use]
    pub fn sqlite(&self) -> (String, String, i32) {
        (self.title.join(" "), self.authors.join(" "), self.length())
    }
}

/// The place of a book whose title is so long.
const fn place_of(length: i64, book: i64) -> i64 {
    length << ID_BITS | book
}

/// Enters these books, in place of what was there.
pub async fn index<C: ConnectionTrait>(db: &C, entries: &[Entry]) -> Result<()> {
    let row = |entry: &Entry| {
        let (title, authors, length) = entry.text.sqlite();
        let place = place_of(length.into(), entry.book_id);
        serde_json::json!({ "id": entry.book_id, "place": place, "title": title, "authors": authors })
    };
    enter(db, &[DELETE, PLACE, INSERT], entries.iter().map(row)).await
}

/// Takes a book out. Its place goes with the book.
pub async fn remove<C: ConnectionTrait>(db: &C, book: i64) -> Result<()> {
    let backend = db.get_database_backend();
    db.execute_raw(Statement::from_sql_and_values(backend, REMOVE, [book.into()])).await?;
    Ok(())
}

/// Matches titles that have every word.
fn in_title(search: &Search) -> String {
    format!("title : ({})", anywhere(search))
}

/// Matches books that have every word, wherever.
pub fn anywhere(search: &Search) -> String {
    search.terms('"', "", " AND ")
}

/// The first books behind the page's cursor: first those whose title has every word, and only
/// where these end, the others.
pub async fn page<C: ConnectionTrait>(db: &C, search: &Search, args: &PageArgs) -> Result<Rows> {
    let (rank, id) = place(args);
    let (in_title_from, others_from) = if rank < OTHER_TIER {
        (place_of(rank.max(0), id), 0)
    } else {
        (i64::MAX, place_of(rank - OTHER_TIER, id))
    };
    let others = format!("({}) NOT {}", anywhere(search), in_title(search));
    let values: [Value; 5] = [
        in_title(search).into(),
        in_title_from.into(),
        others.into(),
        others_from.into(),
        limit(args),
    ];
    // Joined last, so that only the books of the page are read.
    let sql = format!(
        "SELECT {columns}, hit.rank FROM (\
             SELECT * FROM (SELECT rowid & {id} AS book_id, rowid >> {bits} AS rank FROM book_search \
             WHERE book_search MATCH $1 AND rowid > $2 ORDER BY rowid LIMIT $5) \
             UNION ALL SELECT * FROM (SELECT rowid & {id}, (rowid >> {bits}) + {tier} \
             FROM book_search WHERE book_search MATCH $3 AND rowid > $4 ORDER BY rowid LIMIT $5) LIMIT $5\
             ) AS hit JOIN book ON book.id = hit.book_id ORDER BY hit.rank, hit.book_id",
        columns = book::Model::COLUMNS,
        id = (1_i64 << ID_BITS) - 1,
        bits = ID_BITS,
        tier = OTHER_TIER,
    );
    books(db, sql, values).await
}
