//! The constraints of the tables that client input can violate.

use sea_orm::{DbErr, RuntimeErr, SqlxError, sqlx::error::DatabaseError};

use crate::error::Error;

/// A constraint, recognized by its name.
#[derive(Clone, Copy, Debug)]
pub enum Constraint {
    /// No two books have the same ISBN.
    BookIsbn,
    /// No two authors have the same name.
    AuthorName,
    /// The author of a book exists.
    AuthorOfBook,
}

impl Constraint {
    /// A conflict with this message if `error` is a violation of this constraint, else the error
    /// itself.
    pub fn conflict_or(self, error: DbErr, message: impl FnOnce() -> String) -> Error {
        match &error {
            DbErr::Exec(RuntimeErr::SqlxError(source))
            | DbErr::Query(RuntimeErr::SqlxError(source)) => match &**source {
                SqlxError::Database(source) if self.is_violated(&**source) => {
                    Error::Conflict(message())
                }
                _ => error.into(),
            },
            _ => error.into(),
        }
    }

    fn is_violated(self, error: &dyn DatabaseError) -> bool {
        // PostgreSQL's own names of them.
        let (name, columns) = match self {
            Self::BookIsbn => ("book_isbn13_key", "book.isbn13"),
            Self::AuthorName => ("author_name_key_key", "author.name_key"),
            Self::AuthorOfBook => ("book_author_author_id_fkey", ""),
        };
        match error.constraint() {
            Some(violated) => violated == name,
            // SQLite names the columns of an index, and nothing of a foreign key: of those that
            // can be violated there is this one only.
            None if columns.is_empty() => error.is_foreign_key_violation(),
            None => error.is_unique_violation() && error.message().ends_with(columns),
        }
    }
}
