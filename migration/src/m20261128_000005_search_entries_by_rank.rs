//! FTS5's row ids are what search results are ranked by, the length of the title before the id of the
//! book: a page of a common word is then read from the front, and not ranked out of all matches. On
//! SQLite: PostgreSQL has had an index for that since the third migration.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::execute_on;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &[&str] = &[
    "CREATE TABLE book_search_place (\
     book_id integer PRIMARY KEY REFERENCES book (id) ON DELETE CASCADE, \
     place integer NOT NULL)",
    "INSERT INTO book_search_place SELECT rowid, title_words << 40 | rowid FROM book_search",
    "CREATE VIRTUAL TABLE by_rank USING fts5(title, authors, tokenize = 'ascii')",
    "INSERT INTO by_rank (rowid, title, authors) \
     SELECT title_words << 40 | rowid AS place, title, authors FROM book_search ORDER BY place",
    "DROP TABLE book_search",
    "ALTER TABLE by_rank RENAME TO book_search",
];

const DOWN: &[&str] = &[
    "CREATE VIRTUAL TABLE by_id USING fts5(\
     title, authors, title_words UNINDEXED, tokenize = 'ascii')",
    "INSERT INTO by_id (rowid, title, authors, title_words) \
     SELECT book_id, title, authors, place >> 40 FROM book_search_place \
     JOIN book_search ON book_search.rowid = place ORDER BY book_id",
    "DROP TABLE book_search",
    "DROP TABLE book_search_place",
    "ALTER TABLE by_id RENAME TO book_search",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute_on(DbBackend::Sqlite, manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute_on(DbBackend::Sqlite, manager, DOWN).await
    }
}
