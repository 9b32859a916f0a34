//! Search entries go into their index at once. By itself PostgreSQL collects them in a list, which each
//! search has to read through, and which whoever fills it up has to enter: one book in some thousands then
//! took hundreds of milliseconds to create.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, "ALTER INDEX book_search_document SET (fastupdate = off)").await?;
        // What is in the list already.
        execute(manager, "SELECT gin_clean_pending_list('book_search_document')").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, "ALTER INDEX book_search_document RESET (fastupdate)").await
    }
}

async fn execute(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::Postgres {
        manager.get_connection().execute_unprepared(sql).await?;
    }
    Ok(())
}
