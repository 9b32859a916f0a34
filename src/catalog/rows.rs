//! Rows by the positions of their columns. `SeaORM` looks for each column of each row by its name,
//! and makes a text for each null: for a list of books with their authors that is a sixth of all
//! that the response costs. No position is written by hand: `columns!` makes an entity's list of columns and
//! its reader of one list, and what a statement selects behind them is read next.

use sea_orm::{
    DbErr, QueryResult, RuntimeErr,
    sqlx::{self, Decode, Postgres, Row, Sqlite, Type},
};

/// Declares the columns of an entity, in the order of its model. A column that is forgotten does not compile, and
/// the test that this makes compares the order with what `SeaORM` selects.
macro_rules! columns {
    ($entity:ident { $first:ident $(, $column:ident)* $(,)? }) => {
        impl $crate::catalog::rows::FromRow for $entity::Model {
            const COLUMNS: &'static str = concat!(
                stringify!($entity), ".", stringify!($first)
                $(, ", ", stringify!($entity), ".", stringify!($column))*
            );

            fn read(
                columns: &mut $crate::catalog::rows::Columns<'_>,
            ) -> std::result::Result<Self, sea_orm::DbErr> {
                Ok(Self { $first: columns.next()? $(, $column: columns.next()?)* })
            }
        }

        #[cfg(test)]
        mod columns {
            #[test]
            fn are_in_the_order_of_the_entity() {
                use $crate::catalog::rows::{FromRow, selected};
                use entity::$entity;
                assert_eq!(
                    $entity::Model::COLUMNS,
                    selected::<$entity::Entity>(),
                    "list the columns in columns! in the order of the entity's model"
                );
            }
        }
    };
}
pub(super) use columns;

/// What `SeaORM` selects of an entity: lists are read so.
#[cfg(test)]
pub fn selected<E: sea_orm::EntityTrait>() -> String {
    use sea_orm::Iterable;
    let columns = E::Column::iter().map(|column| {
        let (table, name) = sea_orm::ColumnTrait::as_column_ref(&column);
        format!("{}.{}", table.inner(), name.inner())
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// What is read from the columns of a row, one after the other.
pub trait FromRow: Sized {
    /// The columns that it takes, as SQL lists them.
    const COLUMNS: &'static str;

    /// Reads the columns that it takes.
    ///
    /// # Errors
    /// As for [`Columns::next`].
    fn read(columns: &mut Columns<'_>) -> Result<Self, DbErr>;
}

/// Reads a row that has nothing but the columns of a `T`.
///
/// # Errors
/// As for [`Columns::next`].
pub fn from_row<T: FromRow>(row: &QueryResult) -> Result<T, DbErr> {
    T::read(&mut Columns::of(row))
}

/// The columns of a row that are not read yet.
pub struct Columns<'a> {
    row: &'a QueryResult,
    next: usize,
}

impl<'a> Columns<'a> {
    /// All columns of a row.
    pub const fn of(row: &'a QueryResult) -> Self {
        Self { row, next: 0 }
    }

    /// The value of the next column.
    ///
    /// # Errors
    /// [`DbErr::Query`] if there is no further column, or its value is of another type.
    pub fn next<T>(&mut self) -> Result<T, DbErr>
    where
        T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite>,
    {
        let index = self.next;
        self.next += 1;
        let value = if let Some(row) = self.row.try_as_pg_row() {
            // Its columns have the types of the tables; to compare them for each value takes a third of the
            // time of reading it.
            row.try_get_unchecked(index)
        } else if let Some(row) = self.row.try_as_sqlite_row() {
            row.try_get(index)
        } else {
            Err(sqlx::Error::ColumnIndexOutOfBounds { index, len: 0 })
        };
        value.map_err(|error| DbErr::Query(RuntimeErr::SqlxError(error.into())))
    }
}
