//! Objects with a global id: one id space over all types, as Relay wants it. Ids are opaque to clients, though
//! readable for whoever debugs: `book_42`, as payment services do it.

use std::collections::HashMap;

use async_graphql::{Context, ID, Interface, Object};

use crate::{
    catalog::pagination::MAX_PAGE,
    database::Session,
    error::{Error, Result},
    graphql::{author::Author, book::Book, context::resolve_query},
};

/// A type of objects with a global id. [`nodes!`] lists them.
pub trait NodeType: Clone + Into<Node> {
    /// What their ids begin with.
    const PREFIX: &'static str;
    /// Whose ids they are, in messages: `a book's`.
    const WHOSE: &'static str;

    /// The objects of these rows that exist.
    fn find(
        db: &Session<'_>,
        rows: &[i64],
    ) -> impl Future<Output = Result<HashMap<i64, Self>>> + Send;
}

/// Declares the types with a global id.
macro_rules! nodes {
    ($($object:ident),+) => {
        /// Anything with a global id.
        #[derive(Clone, Interface)]
        #[graphql(field(name = "id", ty = "ID", desc = "Names the object among all objects."))]
        #[expect(missing_docs, clippy::large_enum_variant, reason = "named by their types; a hundred at most")]
        pub enum Node {
            $($object($object)),+
        }

        /// The prefix of each type, and whose ids those are.
        const TYPES: &[(&str, &str)] = &[$(($object::PREFIX, $object::WHOSE)),+];

        /// The objects of these rows of the type with this prefix.
        async fn find(prefix: &str, db: &Session<'_>, rows: &[i64]) -> Result<HashMap<i64, Node>> {
            $(if prefix == $object::PREFIX {
                let found = $object::find(db, rows).await?;
                return Ok(found.into_iter().map(|(row, object)| (row, object.into())).collect());
            })+
            Ok(HashMap::new())
        }
    };
}
nodes!(Book, Author);

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
    let GlobalId { prefix, whose, row } = GlobalId::parse(id, argument)?;
    if prefix == N::PREFIX {
        return Ok(row);
    }
    Err(Error::invalid([argument], format!("is {whose} id, not {}", N::WHOSE)))
}

/// A global id of any type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GlobalId {
    prefix: &'static str,
    whose: &'static str,
    row: i64,
}

impl GlobalId {
    fn parse(id: &ID, argument: &str) -> Result<Self> {
        let not_an_id = || Error::invalid([argument], "is not an id of this catalogue");
        let (prefix, number) = id.split_once('_').ok_or_else(not_an_id)?;
        let row: i64 = number.parse().map_err(|_| not_an_id())?;
        // Only the one way in which we write it: neither 007 nor +7.
        if row < 1 || row.to_string() != number {
            return Err(not_an_id());
        }
        let known = TYPES.iter().find(|(known, _)| *known == prefix);
        let (prefix, whose) = *known.ok_or_else(not_an_id)?;
        Ok(Self { prefix, whose, row })
    }
}

/// The queries of objects by their ids.
#[derive(Default)]
pub struct NodeQuery;

/// The queries of objects by their ids.
#[Object]
impl NodeQuery {
    /// The object with this id, or null if there is none.
    async fn node(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "A global id, of whatever type.")] id: ID,
    ) -> Result<Option<Node>> {
        resolve_query(context, async |call| {
            let id = GlobalId::parse(&id, "id")?;
            Ok(find_all(&call.reader(), &[id]).await?.pop().flatten())
        })
        .await
    }

    /// The objects with these ids, in the same order, with null where there is none.
    async fn nodes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Global ids, of whatever types; 100 at most.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        resolve_query(context, async |call| {
            if ids.len() as u64 > MAX_PAGE {
                return Err(Error::invalid(["ids"], format!("must be at most {MAX_PAGE}")));
            }
            let id = |(i, id): (usize, &ID)| {
                GlobalId::parse(id, &i.to_string()).map_err(|e| e.with_path_prefix(["ids"]))
            };
            let ids = ids.iter().enumerate().map(id).collect::<Result<Vec<_>>>()?;
            find_all(&call.reader(), &ids).await
        })
        .await
    }
}

/// The objects with these ids, in the same order, by one statement for each type.
async fn find_all(db: &Session<'_>, ids: &[GlobalId]) -> Result<Vec<Option<Node>>> {
    let mut found = HashMap::new();
    for (prefix, _) in TYPES {
        let of_type = ids.iter().filter(|id| id.prefix == *prefix);
        let rows: Vec<i64> = of_type.map(|id| id.row).collect();
        if !rows.is_empty() {
            found.insert(*prefix, find(prefix, db, &rows).await?);
        }
    }
    // Not removed from the maps: an id may be asked for twice.
    let node = |id: &GlobalId| found.get(id.prefix)?.get(&id.row).cloned();
    Ok(ids.iter().map(node).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_round_trip() {
        assert_eq!(row::<Book>(&id::<Book>(1), "id").unwrap(), 1);
        assert_eq!(row::<Author>(&id::<Author>(i64::MAX), "id").unwrap(), i64::MAX);
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
        assert!(row::<Book>(&ID("author_1".into()), "id").is_err());
    }
}
