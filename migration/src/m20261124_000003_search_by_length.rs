//! The search entries in the order of their rank, so that the first page of a common word is read
//! from the front of an index. On PostgreSQL: FTS5 keeps its entries in the order of their ids.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::execute_on;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "CREATE INDEX book_search_by_length ON book_search (title_words, book_id)";
        execute_on(DbBackend::Postgres, manager, &[index]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute_on(DbBackend::Postgres, manager, &["DROP INDEX book_search_by_length"]).await
    }
}
