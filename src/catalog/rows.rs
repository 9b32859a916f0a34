//! Rows by the places of their columns. `SeaORM` looks for each column of each row by its name,
//! and makes a text for each null: for a list of books with their authors that is a sixth of all
//! that the answer costs.

use entity::{author, book};
use sea_orm::{
    DbErr, QueryResult, RuntimeErr,
    sqlx::{self, Decode, Postgres, Row, Sqlite, Type},
};

/// The columns of a book, in the order in which [`FromRow`] takes them.
macro_rules! book_columns {
    () => {
        "book.id, book.title, book.title_key, book.pages, book.isbn13, book.published_year, \
         book.language, book.created_at, book.updated_at, book.version"
    };
}
pub(super) use book_columns;

/// What a row holds whose columns are in the order of its entity's, from the first on.
pub trait FromRow: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// As for [`column`].
    fn read(row: &QueryResult) -> Result<Self, DbErr>;
}

impl FromRow for book::Model {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            id: column(row, 0)?,
            title: column(row, 1)?,
            title_key: column(row, 2)?,
            pages: column(row, 3)?,
            isbn13: column(row, 4)?,
            published_year: column(row, 5)?,
            language: column(row, 6)?,
            created_at: column(row, 7)?,
            updated_at: column(row, 8)?,
            version: column(row, 9)?,
        })
    }
}

impl FromRow for author::Model {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self { id: column(row, 0)?, name: column(row, 1)?, name_key: column(row, 2)? })
    }
}

/// The value in a column, counted from 0.
///
/// # Errors
/// [`DbErr::Query`] if there is no such column, or its value is of another type.
pub fn column<T>(row: &QueryResult, index: usize) -> Result<T, DbErr>
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite>,
{
    let value = if let Some(row) = row.try_as_pg_row() {
        // Its columns have the types of the tables; to compare them for each value takes a third of the
        // time of reading it.
        row.try_get_unchecked(index)
    } else if let Some(row) = row.try_as_sqlite_row() {
        row.try_get(index)
    } else {
        Err(sqlx::Error::ColumnIndexOutOfBounds { index, len: 0 })
    };
    value.map_err(|error| DbErr::Query(RuntimeErr::SqlxError(error.into())))
}

#[cfg(test)]
mod tests {
    use sea_orm::{EntityTrait, Iterable};

    use super::*;

    /// What `SeaORM` selects of an entity is what [`FromRow`] takes.
    fn selected<E: EntityTrait>() -> String {
        let columns = E::Column::iter().map(|column| {
            let (table, name) = sea_orm::ColumnTrait::as_column_ref(&column);
            format!("{}.{}", table.inner(), name.inner())
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_columns_are_in_the_order_of_the_entity() {
        assert_eq!(book_columns!(), selected::<book::Entity>());
        assert_eq!("author.id, author.name, author.name_key", selected::<author::Entity>());
    }
}
