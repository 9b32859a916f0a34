//! Global ids: one id space over all types, as Relay wants it. Opaque to clients, though
//! readable for whoever debugs: `book_42`, as payment services do it.

use async_graphql::ID;

use crate::error::{Error, Result};

/// What a global id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalId {
    /// A book's row.
    Book(i64),
    /// An author's row.
    Author(i64),
}

impl GlobalId {
    /// Reads a global id given as `argument`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text is none.
    pub fn parse(id: &ID, argument: &str) -> Result<Self> {
        let not_an_id = || Error::invalid([argument], "is not an id of this catalogue");
        let (kind, number) = id.split_once('_').ok_or_else(not_an_id)?;
        let row: i64 = number.parse().map_err(|_| not_an_id())?;
        // Only the one way in which we write it: neither 007 nor +7.
        if row < 1 || row.to_string() != number {
            return Err(not_an_id());
        }
        match kind {
            "book" => Ok(Self::Book(row)),
            "author" => Ok(Self::Author(row)),
            _ => Err(not_an_id()),
        }
    }

    /// The row of a book given as `argument`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text is no global id or that of something else.
    pub fn book(id: &ID, argument: &str) -> Result<i64> {
        match Self::parse(id, argument)? {
            Self::Book(row) => Ok(row),
            Self::Author(_) => Err(Error::invalid([argument], "is an author's id, not a book's")),
        }
    }

    /// The row of an author given as `argument`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text is no global id or that of something else.
    pub fn author(id: &ID, argument: &str) -> Result<i64> {
        match Self::parse(id, argument)? {
            Self::Author(row) => Ok(row),
            Self::Book(_) => Err(Error::invalid([argument], "is a book's id, not an author's")),
        }
    }
}

impl From<GlobalId> for ID {
    fn from(id: GlobalId) -> Self {
        match id {
            GlobalId::Book(row) => Self(format!("book_{row}")),
            GlobalId::Author(row) => Self(format!("author_{row}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_round_trip() {
        for id in [GlobalId::Book(1), GlobalId::Author(i64::MAX)] {
            assert_eq!(GlobalId::parse(&id.into(), "id").unwrap(), id);
        }
    }

    #[test]
    fn forged_ids_are_refused() {
        let forged = [
            "",
            "_",
            "book_",
            "book_0",
            "book_-1",
            "book_007",
            "book_+1",
            "Book_1",
            "book_1 ",
            "book_9223372036854775808",
            "shelf_1",
            "1",
        ];
        for text in forged {
            assert!(GlobalId::parse(&ID(text.into()), "id").is_err(), "{text}");
        }
        assert!(GlobalId::book(&ID("author_1".into()), "id").is_err());
    }
}
