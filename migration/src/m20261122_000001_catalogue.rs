//! Books, authors, and who wrote what.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum Book {
    Table,
    Id,
    Title,
    TitleKey,
    Pages,
    Isbn13,
    PublishedYear,
    Language,
    CreatedAt,
    UpdatedAt,
    Version,
}

#[derive(DeriveIden)]
enum Author {
    Table,
    Id,
    Name,
    NameKey,
}

#[derive(DeriveIden)]
enum BookAuthor {
    Table,
    BookId,
    AuthorId,
    Position,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(book(manager.get_database_backend())).await?;
        manager.create_table(author(manager.get_database_backend())).await?;
        manager.create_table(book_author()).await?;
        for index in INDEXES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(BookAuthor::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Author::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Book::Table).to_owned()).await
    }
}

/// One index for each ordering of `books`, ending in the id that breaks its ties.
///
/// A missing year or page count sorts last both ways, so those orderings sort by
/// an expression with a stand-in. The expressions must stay, to the letter, those
/// of the catalogue's `Ordering`, or the databases no longer use the index.
const INDEXES: &[&str] = &[
    "CREATE INDEX book_by_title ON book (title_key, id)",
    "CREATE INDEX book_by_year_asc ON book (COALESCE(published_year, 32767), id)",
    "CREATE INDEX book_by_year_desc ON book (COALESCE(published_year, -32768), id)",
    "CREATE INDEX book_by_pages_asc ON book (COALESCE(pages, 1000000), id)",
    "CREATE INDEX book_by_pages_desc ON book (COALESCE(pages, -1), id)",
    "CREATE INDEX book_by_created_at ON book (created_at, id)",
    "CREATE INDEX book_author_by_author ON book_author (author_id, book_id)",
];

/// A column that sorts by its bytes. SQLite does so anyway; PostgreSQL would follow
/// the locale of the cluster, and pages would differ between the two.
fn bytewise<T: IntoIden>(name: T, backend: DbBackend) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.text().not_null();
    if backend == DbBackend::Postgres {
        column.extra("COLLATE \"C\"");
    }
    column
}

fn book(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table(Book::Table)
        .col(ColumnDef::new(Book::Id).big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new(Book::Title).text().not_null())
        .col(bytewise(Book::TitleKey, backend))
        .col(ColumnDef::new(Book::Pages).integer())
        .col(ColumnDef::new(Book::Isbn13).string_len(13).unique_key())
        .col(ColumnDef::new(Book::PublishedYear).integer())
        .col(ColumnDef::new(Book::Language).string_len(35))
        .col(ColumnDef::new(Book::CreatedAt).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(Book::UpdatedAt).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(Book::Version).integer().not_null().default(1))
        .to_owned()
}

fn author(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table(Author::Table)
        .col(ColumnDef::new(Author::Id).big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new(Author::Name).text().not_null())
        .col(bytewise(Author::NameKey, backend).unique_key())
        .to_owned()
}

fn book_author() -> TableCreateStatement {
    Table::create()
        .table(BookAuthor::Table)
        .col(ColumnDef::new(BookAuthor::BookId).big_integer().not_null())
        .col(ColumnDef::new(BookAuthor::AuthorId).big_integer().not_null())
        .col(ColumnDef::new(BookAuthor::Position).integer().not_null())
        .primary_key(Index::create().col(BookAuthor::BookId).col(BookAuthor::AuthorId))
        .foreign_key(
            ForeignKey::create()
                .from(BookAuthor::Table, BookAuthor::BookId)
                .to(Book::Table, Book::Id)
                .on_delete(ForeignKeyAction::Cascade),
        )
        .foreign_key(
            ForeignKey::create()
                .from(BookAuthor::Table, BookAuthor::AuthorId)
                .to(Author::Table, Author::Id)
                .on_delete(ForeignKeyAction::Restrict),
        )
        .to_owned()
}
