//! The schema's history. A migration never imports `entity`: an old one must
//! stay what it was when the entities move on.

pub use sea_orm_migration::{MigratorTrait, SchemaManager};

use sea_orm_migration::{
    MigrationTrait, async_trait,
    sea_orm::{ConnectionTrait, DbBackend, DbErr},
};

mod m20261122_000001_catalogue;
mod m20261122_000002_search;
mod m20261129_000003_latin_letters;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_catalogue::Migration),
            Box::new(m20261122_000002_search::Migration),
            Box::new(m20261129_000003_latin_letters::Migration),
        ]
    }
}

/// Executes statements, if the database is of that kind.
async fn execute_on(
    backend: DbBackend,
    manager: &SchemaManager<'_>,
    statements: &[&str],
) -> Result<(), DbErr> {
    if manager.get_database_backend() == backend {
        for sql in statements {
            manager.get_connection().execute_unprepared(sql).await?;
        }
    }
    Ok(())
}
