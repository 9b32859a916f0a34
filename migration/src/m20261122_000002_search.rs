//! The full-text index over titles and author names.
//!
//! The service cuts text into words itself and hands both databases the same
//! words, so that both find the same books. Their own tokenizers are kept out of
//! it: FTS5 splits only where the service put a space (`ascii` takes every
//! non-ASCII character for a letter), and PostgreSQL gets ready-made `tsvector`s.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub struct Migration;

const SQLITE: &[&str] = &["CREATE VIRTUAL TABLE book_search USING fts5(\
     title, authors, title_words UNINDEXED, tokenize = 'ascii')"];

const POSTGRES: &[&str] = &[
    "CREATE TABLE book_search (\
     book_id bigint PRIMARY KEY REFERENCES book (id) ON DELETE CASCADE, \
     document tsvector NOT NULL, \
     title_words integer NOT NULL)",
    "CREATE INDEX book_search_document ON book_search USING gin (document)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        for sql in statements {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE book_search").await?;
        Ok(())
    }
}
