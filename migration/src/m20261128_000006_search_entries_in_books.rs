//! A book's search entry is part of its row. A table of its own took PostgreSQL a second row, a foreign
//! key to look after and an index of ids for each new book, and a join for each search. SQLite's index is
//! a virtual table, and stays one.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::execute_on;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &[&str] = &[
    "ALTER TABLE book ADD COLUMN search_document tsvector, ADD COLUMN title_words integer",
    "UPDATE book SET search_document = document, title_words = book_search.title_words \
     FROM book_search WHERE book_id = id",
    "ALTER TABLE book ALTER COLUMN search_document SET NOT NULL, \
     ALTER COLUMN title_words SET NOT NULL",
    "DROP TABLE book_search",
    "CREATE INDEX book_by_length ON book (title_words, id)",
    "CREATE INDEX book_search_document ON book USING gin (search_document) WITH (fastupdate = off)",
];

const DOWN: &[&str] = &[
    "CREATE TABLE book_search (\
     book_id bigint PRIMARY KEY REFERENCES book (id) ON DELETE CASCADE, \
     document tsvector NOT NULL, \
     title_words integer NOT NULL)",
    "INSERT INTO book_search SELECT id, search_document, title_words FROM book ORDER BY id",
    "ALTER TABLE book DROP COLUMN search_document, DROP COLUMN title_words",
    "CREATE INDEX book_search_by_length ON book_search (title_words, book_id)",
    "CREATE INDEX book_search_document ON book_search USING gin (document) WITH (fastupdate = off)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute_on(DbBackend::Postgres, manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute_on(DbBackend::Postgres, manager, DOWN).await
    }
}
