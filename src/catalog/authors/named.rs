//! The authors that books name as they are entered, by ids or by names.

use std::collections::HashMap;

use entity::author;
use sea_orm::{ConnectionTrait, EntityTrait, QueryFilter, sea_query::OnConflict};

use crate::{
    catalog::{
        authors::{find_many, to_insert},
        text,
    },
    database::eq_any,
    error::{Error, Result},
};

/// An author as a book's input names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorRef {
    /// An author, by a global id.
    Id(i64),
    /// The author of that name, entered if the catalog has none.
    Name(String),
}

/// The authors that a book's input names, in its order; unknown names are entered.
///
/// # Errors
/// As for [`Known::in_order`], or if the database fails.
pub async fn resolve<C: ConnectionTrait>(db: &C, refs: &[AuthorRef]) -> Result<Vec<author::Model>> {
    look_up(db, refs).await?.in_order(refs)
}

/// Authors that are named, for one book or for many.
#[derive(Debug, Default)]
pub struct Known {
    by_id: HashMap<i64, author::Model>,
    by_key: HashMap<String, author::Model>,
}

/// Finds all of them; unknown names are entered.
///
/// # Errors
/// If the database fails.
pub async fn look_up<'a, C: ConnectionTrait>(
    db: &C,
    refs: impl IntoIterator<Item = &'a AuthorRef>,
) -> Result<Known> {
    let (mut ids, mut names) = (Vec::new(), Vec::new());
    for author in refs {
        match author {
            AuthorRef::Id(id) => ids.push(*id),
            AuthorRef::Name(name) => names.push(name.as_str()),
        }
    }
    let mut by_id = HashMap::new();
    if !ids.is_empty() {
        by_id.extend(find_many(db, &ids).await?.into_iter().map(|author| (author.id, author)));
    }
    Ok(Known { by_id, by_key: ensure(db, &names).await? })
}

impl Known {
    /// Those that a book's input names, in its order.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an id without an author, and for one author named twice.
    pub fn in_order(&self, refs: &[AuthorRef]) -> Result<Vec<author::Model>> {
        let mut authors: Vec<author::Model> = Vec::with_capacity(refs.len());
        for (i, author) in refs.iter().enumerate() {
            let position = i.to_string();
            let found = match author {
                AuthorRef::Id(id) => self.by_id.get(id),
                AuthorRef::Name(name) => self.by_key.get(&text::fold(name)),
            };
            let found = found
                .ok_or_else(|| Error::invalid(["authors", &position, "id"], "is no author's id"))?;
            if authors.iter().any(|other| other.id == found.id) {
                return Err(Error::invalid(["authors", &position], "is named twice"));
            }
            authors.push(found.clone());
        }
        Ok(authors)
    }
}

/// The authors of these names by their normal form, entering those that are missing.
///
/// # Errors
/// If the database fails.
async fn ensure<C: ConnectionTrait>(
    db: &C,
    names: &[&str],
) -> Result<HashMap<String, author::Model>> {
    let mut known = HashMap::with_capacity(names.len());
    if names.is_empty() {
        return Ok(known);
    }
    let wanted: HashMap<String, &str> =
        names.iter().rev().map(|name| (text::fold(name), *name)).collect();
    fetch_by_key(db, wanted.keys(), &mut known).await?;
    let mut missing: Vec<(&String, &str)> =
        wanted.iter().filter(|(key, _)| !known.contains_key(*key)).map(|(k, n)| (k, *n)).collect();
    if missing.is_empty() {
        return Ok(known);
    }
    // Always in the same order: two transactions that enter the same names in opposite
    // orders would wait for each other's rows, and PostgreSQL would end one of them.
    missing.sort_unstable();
    author::Entity::insert_many(missing.iter().map(|(_, name)| to_insert((*name).to_owned())))
        .on_conflict(OnConflict::column(author::Column::NameKey).do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    fetch_by_key(db, missing.iter().map(|(key, _)| *key), &mut known).await?;
    Ok(known)
}

async fn fetch_by_key<C: ConnectionTrait>(
    db: &C,
    keys: impl Iterator<Item = &String>,
    known: &mut HashMap<String, author::Model>,
) -> Result<()> {
    let keys: Vec<&str> = keys.map(String::as_str).collect();
    let column = (author::Entity, author::Column::NameKey);
    let of_these_names = eq_any(db.get_database_backend(), column, &keys);
    let found = author::Entity::find().filter(of_these_names).all(db).await?;
    known.extend(found.into_iter().map(|author| (author.name_key.clone(), author)));
    Ok(())
}
