//! The full-text index over titles and author names.
//!
//! The service cuts text into words itself and hands both databases the same
//! words, so that both find the same books. Their own tokenizers are kept out of
//! it: FTS5 splits only where the service put a space (`ascii` takes every
//! non-ASCII character for a letter), and PostgreSQL gets ready-made `tsvector`s.
//!
//! Both have their entries in the order of their rank, the length of the title before the id of
//! the book, so that the first page of a common word is read from the front.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::execute_on;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// FTS5 keeps its entries in the order of their row ids: an entry's is `title_words << 40 | book_id`.
const SQLITE: &[&str] = &[
    "CREATE TABLE book_search_place (\
     book_id integer PRIMARY KEY REFERENCES book (id) ON DELETE CASCADE, \
     place integer NOT NULL)",
    "CREATE VIRTUAL TABLE book_search USING fts5(title, authors, tokenize = 'ascii')",
];

const SQLITE_DOWN: &[&str] = &["DROP TABLE book_search", "DROP TABLE book_search_place"];

/// A book's entry is part of its row: a table of its own takes a second row, a foreign key to look
/// after and an index of ids for each new book, and a join for each search. By itself (`fastupdate`)
/// PostgreSQL collects new entries in a list, which each search has to read through, and which whoever
/// fills it up has to enter: one book in some thousands then takes hundreds of milliseconds to create.
const POSTGRES: &[&str] = &[
    "ALTER TABLE book ADD COLUMN search_document tsvector NOT NULL, \
     ADD COLUMN title_words integer NOT NULL",
    "CREATE INDEX book_by_length ON book (title_words, id)",
    "CREATE INDEX book_search_document ON book USING gin (search_document) WITH (fastupdate = off)",
];

const POSTGRES_DOWN: &[&str] =
    &["ALTER TABLE book DROP COLUMN search_document, DROP COLUMN title_words"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute_on(DbBackend::Sqlite, manager, SQLITE).await?;
        execute_on(DbBackend::Postgres, manager, POSTGRES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute_on(DbBackend::Sqlite, manager, SQLITE_DOWN).await?;
        execute_on(DbBackend::Postgres, manager, POSTGRES_DOWN).await
    }
}
