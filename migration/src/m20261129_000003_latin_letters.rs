//! Keys and search entries in which special Latin letters are ASCII: `ø` is `o`, `ß` is `ss`.
//!
//! The service stores folded titles and names as keys, and the words of search entries. This
//! migration computes them again, in batches, for the books and authors that have such a letter.
//!
//! It has a copy of the folding and does not call the service's, so that a later change of the service
//! changes nothing here: a database that is migrated today has the same keys as one that is migrated in
//! a year, and the migration that comes with that change can rely on them. What is not copied, the
//! tables of Unicode, is [stable] for assigned characters in what the keys need. `tests/folding.rs`
//! fails if the service stores other keys than its newest migration.
//!
//! Two authors may now have one name, such as Stanisław Lem and Stanislaw Lem. Both stay, with their
//! books, and a warning names them: whether they are one person is not for a migration to decide. See
//! [`authors`].
//!
//! [stable]: https://www.unicode.org/policies/stability_policy.html

mod authors;
mod books;
mod latin;
mod text;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement},
};

use self::text::Folding;
use super::execute_on;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Rows that are read and written at a time.
const BATCH: usize = 1_000;

/// Writers wait: what they enter behind the last batch would keep its old key.
const LOCK: &str = "LOCK TABLE author, book, book_author IN SHARE ROW EXCLUSIVE MODE";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        refold(manager, Folding::AccentsAndLetters).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        refold(manager, Folding::Accents).await
    }
}

async fn refold(manager: &SchemaManager<'_>, folding: Folding) -> Result<(), DbErr> {
    execute_on(DbBackend::Postgres, manager, &[LOCK]).await?;
    authors::refold(manager.get_connection(), folding).await?;
    books::refold(manager.get_connection(), folding).await
}

/// The ids as a list for `IN`.
fn list(ids: impl IntoIterator<Item = i64>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
}

/// Executes a statement with `rows` as its JSON parameter.
async fn write(
    db: &SchemaManagerConnection<'_>,
    sql: &str,
    rows: &serde_json::Value,
) -> Result<(), DbErr> {
    let values = [rows.to_string().into()];
    let backend = db.get_database_backend();
    db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(())
}
