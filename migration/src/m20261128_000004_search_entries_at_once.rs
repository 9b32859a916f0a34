//! Search entries go into their index at once. By itself PostgreSQL collects them in a list, which each
//! search has to read through, and which whoever fills it up has to enter: one book in some thousands then
//! took hundreds of milliseconds to create.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::execute_on;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &[&str] = &[
    "ALTER INDEX book_search_document SET (fastupdate = off)",
    // What is in the list already.
    "SELECT gin_clean_pending_list('book_search_document')",
];

const DOWN: &[&str] = &["ALTER INDEX book_search_document RESET (fastupdate)"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute_on(DbBackend::Postgres, manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute_on(DbBackend::Postgres, manager, DOWN).await
    }
}
