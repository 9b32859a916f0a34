//! Objects with a global id: one id space over all types, as Relay wants it. Ids are opaque to clients, though
//! readable in logs: `book_42`.

use std::collections::HashMap;

use async_graphql::ID;

use crate::{
    database::Session,
    error::{Error, Result},
};

/// A type of objects with a global id. `nodes!` lists them.
pub trait NodeType: Clone {
    /// What their ids begin with.
    const PREFIX: &'static str;

    /// The objects of these rows that exist.
    fn find(
        db: &Session<'_>,
        rows: &[i64],
    ) -> impl Future<Output = Result<HashMap<i64, Self>>> + Send;
}

/// Declares the interface of the types with a global id.
macro_rules! nodes {
    ($($object:ident),+) => {
        /// An object with a global id.
        #[derive(Clone, async_graphql::Interface)]
        #[graphql(field(name = "id", ty = "ID", desc = "A globally unique, opaque id."))]
        pub enum Node {
            $(
                #[doc = concat!("An object of the type ", stringify!($object), ".")]
                $object($object)
            ),+
        }

        impl Node {
            /// Reads a global id of any of the types, given as `argument`.
            fn parse<'a>(id: &'a ID, argument: &str) -> Result<(&'a str, i64)> {
                const PREFIXES: &[&str] = &[$(<$object as node::NodeType>::PREFIX),+];
                let (prefix, row) = node::parse(id, argument)?;
                if PREFIXES.contains(&prefix) { Ok((prefix, row)) } else { Err(node::not_an_id(argument)) }
            }

            /// The objects with these ids, in the same order, by one statement for each type.
            async fn find(
                db: &crate::database::Session<'_>,
                ids: &[(&str, i64)],
            ) -> Result<Vec<Option<Self>>> {
                let mut found = vec![None; ids.len()];
                $(node::put_found::<$object, _>(db, ids, &mut found, Self::$object).await?;)+
                Ok(found)
            }
        }
    };
}
pub(super) use nodes;

/// Puts the objects of one type into the places of their ids.
pub(super) async fn put_found<N: NodeType, T>(
    db: &Session<'_>,
    ids: &[(&str, i64)],
    found: &mut [Option<T>],
    wrap: impl Fn(N) -> T,
) -> Result<()> {
    let is_of_type = |id: &(&str, i64)| id.0 == N::PREFIX;
    let rows: Vec<i64> = ids.iter().filter(|id| is_of_type(id)).map(|(_, row)| *row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let objects = N::find(db, &rows).await?;
    for (id, found) in ids.iter().zip(found).filter(|(id, _)| is_of_type(id)) {
        // Not removed from the map: an id may be given twice.
        *found = objects.get(&id.1).cloned().map(&wrap);
    }
    Ok(())
}

/// The global id of a row.
#[must_use]
pub fn id<N: NodeType>(row: i64) -> ID {
    ID(format!("{}_{row}", N::PREFIX))
}

/// The row that a global id of an `N` names, given as `argument`.
///
/// # Errors
/// [`Error::Invalid`] if the text is no global id or that of another type.
pub fn row<N: NodeType>(id: &ID, argument: &str) -> Result<i64> {
    match parse(id, argument)? {
        (prefix, row) if prefix == N::PREFIX => Ok(row),
        _ => Err(Error::invalid([argument], format!("must be an id such as {}_1", N::PREFIX))),
    }
}

/// The prefix and the row of a global id given as `argument`.
///
/// # Errors
/// [`Error::Invalid`] if the text is none.
pub(super) fn parse<'a>(id: &'a ID, argument: &str) -> Result<(&'a str, i64)> {
    let parts = id.split_once('_').and_then(|(prefix, number)| {
        let row: i64 = number.parse().ok()?;
        // Only the one way in which ids are written: neither 007 nor +7.
        (row >= 1 && row.to_string() == number).then_some((prefix, row))
    });
    parts.ok_or_else(|| not_an_id(argument))
}

pub(super) fn not_an_id(argument: &str) -> Error {
    Error::invalid([argument], "is not an id of this catalog")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::{Node, author::Author, book::Book};

    #[test]
    fn parses_the_ids_it_makes() {
        assert_eq!(row::<Book>(&id::<Book>(1), "id").unwrap(), 1);
        assert_eq!(row::<Author>(&id::<Author>(i64::MAX), "id").unwrap(), i64::MAX);
    }

    #[test]
    fn rejects_forged_ids() {
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
            assert!(Node::parse(&ID(text.into()), "id").is_err(), "{text}");
        }
        assert!(row::<Book>(&ID("author_1".into()), "id").is_err());
    }
}
