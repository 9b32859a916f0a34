//! The index on PostgreSQL: two columns of each book, its words as a `tsvector` and the length of its
//! title, by which the books have an index as well.

use entity::book;
use sea_orm::{ConnectionTrait, Value};

use crate::{
    catalog::{
        rows::FromRow,
        search::{Entry, OTHER_TIER, PageArgs, Rows, Search, Text, books, enter, limit, place},
    },
    error::Result,
};

const UPDATE: &str = "UPDATE book SET search_document = document::tsvector, title_words = words \
    FROM jsonb_to_recordset($1::jsonb) AS entry (book_id bigint, document text, words integer) \
    WHERE id = book_id";

/// How many books match.
pub const COUNT: &str = "SELECT COUNT(*) FROM book WHERE search_document @@ $1::tsquery";

/// How many of the shortest titles are looked through for the words: further, if it seems from what
/// was found that they are common enough.
const REACHES: [u64; 3] = [128, 1_024, FURTHEST];
const FURTHEST: u64 = 8_192;

impl Text {
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
}

/// Enters these books, in place of what was there.
pub async fn index<C: ConnectionTrait>(db: &C, entries: &[Entry]) -> Result<()> {
    let row = |entry: &Entry| {
        let (document, words) = entry.text.postgres();
        serde_json::json!({ "book_id": entry.book_id, "document": document, "words": words })
    };
    enter(db, &[UPDATE], entries.iter().map(row)).await
}

/// Matches titles that have every word.
fn in_title(search: &Search) -> String {
    search.terms('\'', ":A", " & ")
}

/// Matches books that have every word, wherever.
pub fn anywhere(search: &Search) -> String {
    search.terms('\'', "", " & ")
}

/// The first books behind the page's cursor.
pub async fn page<C: ConnectionTrait>(db: &C, search: &Search, args: &PageArgs) -> Result<Rows> {
    match foremost(db, search, args).await? {
        Some(rows) => Ok(rows),
        None => ranked(db, search, args).await,
    }
}

/// The page, where the words are common enough to fill it from the shortest titles: PostgreSQL
/// would rank all matches, however many, for the first few of them.
async fn foremost<C: ConnectionTrait>(
    db: &C,
    search: &Search,
    args: &PageArgs,
) -> Result<Option<Rows>> {
    let (rank, id) = place(args);
    if rank >= OTHER_TIER {
        return Ok(None);
    }
    for reach in REACHES {
        let values: [Value; 4] = [in_title(search).into(), rank.into(), id.into(), limit(args)];
        let rows = books(db, near(reach), values).await?;
        if rows.len() as u64 > args.limit {
            return Ok(Some(rows));
        }
        if rows.len() as u64 * (FURTHEST / reach) <= args.limit {
            break;
        }
    }
    Ok(None)
}

/// SQL for those of the next `reach` entries of the index whose title has every word.
fn near(reach: u64) -> String {
    format!(
        "SELECT {columns}, CAST(title_words AS bigint) FROM (SELECT * FROM book \
             WHERE (title_words, id) > ($2, $3) ORDER BY title_words, id LIMIT {reach}) AS book \
             WHERE search_document @@ $1::tsquery ORDER BY title_words, id LIMIT $4",
        columns = book::Model::COLUMNS,
        reach = reach
    )
}

/// The page, of all matches ranked.
async fn ranked<C: ConnectionTrait>(db: &C, search: &Search, args: &PageArgs) -> Result<Rows> {
    let sql = format!(
        "SELECT {columns}, rank FROM (SELECT *, CAST(title_words + \
             CASE WHEN search_document @@ $1::tsquery THEN 0 ELSE {tier} END AS bigint) AS rank \
             FROM book WHERE search_document @@ $2::tsquery) AS book \
             WHERE (rank, id) > ($3, $4) ORDER BY rank, id LIMIT $5",
        columns = book::Model::COLUMNS,
        tier = OTHER_TIER
    );
    let (rank, id) = place(args);
    let words = [in_title(search).into(), anywhere(search).into()];
    books(db, sql, words.into_iter().chain([rank.into(), id.into(), limit(args)])).await
}
