//! The keys of names.
//!
//! Of authors who now have one name, the one entered first gets its key. Each other gets the key
//! with [`MARK`] and its id behind it: the folding makes no control characters, so that no name has
//! such a key, but filters find it by its beginning and lists sort it behind the first. A rename
//! removes the mark.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement},
};
use serde_json::json;

use super::{BATCH, list, text::Folding, write};

/// Separates the key from the id in the keys of authors whose name another has: U+001F, the unit
/// separator.
const MARK: char = '\u{1f}';

/// The keys are unique after each statement, also where one author takes the key of another.
const PARK: &str = "UPDATE author SET name_key = $1 || CAST(id AS text) WHERE id IN";

const POSTGRES: &str = "UPDATE author SET name_key = key \
    FROM jsonb_to_recordset($1::jsonb) AS entry (author_id bigint, key text) WHERE id = author_id";
const SQLITE: &str = "UPDATE author SET name_key = value ->> 'key' FROM json_each($1) \
    WHERE author.id = value ->> 'author_id'";

const OF_KEYS_POSTGRES: &str = "SELECT id, name, name_key FROM author \
    WHERE name_key IN (SELECT jsonb_array_elements_text($1::jsonb))";
const OF_KEYS_SQLITE: &str = "SELECT id, name, name_key FROM author \
    WHERE name_key IN (SELECT value FROM json_each($1))";

#[derive(Clone)]
struct Author {
    id: i64,
    name: String,
    key: String,
}

/// Computes the keys of all authors that have a special letter, or a mark.
pub async fn refold(db: &SchemaManagerConnection<'_>, folding: Folding) -> Result<(), DbErr> {
    let mut after = 0;
    loop {
        let batch = batch(db, after).await?;
        let Some(last) = batch.last() else { return Ok(()) };
        after = last.id;
        refold_batch(db, &batch, folding).await?;
    }
}

/// The next authors whose name is not in ASCII, or whose key is marked.
async fn batch(db: &SchemaManagerConnection<'_>, after: i64) -> Result<Vec<Author>, DbErr> {
    let backend = db.get_database_backend();
    let is_not_ascii = match backend {
        DbBackend::Postgres => r"name ~ '[^\x01-\x7f]'",
        _ => "name GLOB '*[^' || char(1) || '-' || char(127) || ']*'",
    };
    let sql = format!(
        "SELECT id, name, name_key FROM author \
         WHERE id > {after} AND ({is_not_ascii} OR name_key LIKE '%{MARK}%') \
         ORDER BY id LIMIT {BATCH}"
    );
    authors(db, Statement::from_string(backend, sql)).await
}

async fn refold_batch(
    db: &SchemaManagerConnection<'_>,
    batch: &[Author],
    folding: Folding,
) -> Result<(), DbErr> {
    let wanted = batch.iter().map(|author| (author, folding.key(&author.name)));
    let moving: Vec<_> = wanted.filter(|(author, key)| author.key != *key).collect();
    if moving.is_empty() {
        return Ok(());
    }
    let holders = holders(db, &moving).await?;
    store(db, &assign(&moving, holders)).await
}

/// The authors who have one of the wanted keys and keep it, by key.
async fn holders(
    db: &SchemaManagerConnection<'_>,
    moving: &[(&Author, String)],
) -> Result<HashMap<String, Author>, DbErr> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => OF_KEYS_POSTGRES,
        _ => OF_KEYS_SQLITE,
    };
    let keys: Vec<&String> = moving.iter().map(|(_, key)| key).collect();
    let values = [json!(keys).to_string().into()];
    let mut found = authors(db, Statement::from_sql_and_values(backend, sql, values)).await?;
    let moving: HashSet<i64> = moving.iter().map(|(author, _)| author.id).collect();
    found.retain(|author| !moving.contains(&author.id));
    Ok(found.into_iter().map(|author| (author.key.clone(), author)).collect())
}

/// The new keys by id. Of two who want one key, the one with the lower id gets it.
fn assign(
    moving: &[(&Author, String)],
    mut holders: HashMap<String, Author>,
) -> BTreeMap<i64, String> {
    let mut keys = BTreeMap::new();
    for (author, key) in moving {
        let first = match holders.remove(key) {
            Some(holder) if holder.id < author.id => {
                mark(&mut keys, author, key, &holder);
                holder
            }
            other => {
                if let Some(later) = other {
                    mark(&mut keys, &later, key, author);
                }
                keys.insert(author.id, key.clone());
                (*author).clone()
            }
        };
        holders.insert(key.clone(), first);
    }
    keys
}

/// Gives `author` a marked key, since `first` has the name, and warns unless it had that key before.
fn mark(keys: &mut BTreeMap<i64, String>, author: &Author, key: &str, first: &Author) {
    let marked = format!("{key}{MARK}{}", author.id);
    if marked == author.key {
        return;
    }
    tracing::warn!(
        name: "migration.author_names_equal",
        id = author.id,
        author = author.name,
        first_id = first.id,
        first_author = first.name,
        "two authors have one name after folding; rename one, or move the books of one to the \
         other and delete it"
    );
    keys.insert(author.id, marked);
}

async fn store(
    db: &SchemaManagerConnection<'_>,
    keys: &BTreeMap<i64, String>,
) -> Result<(), DbErr> {
    if keys.is_empty() {
        return Ok(());
    }
    let backend = db.get_database_backend();
    let park = format!("{PARK} ({})", list(keys.keys().copied()));
    let mark = [MARK.to_string().into()];
    db.execute_raw(Statement::from_sql_and_values(backend, park, mark)).await?;
    let row = |(id, key): (&i64, &String)| json!({ "author_id": id, "key": key });
    let sql = match backend {
        DbBackend::Postgres => POSTGRES,
        _ => SQLITE,
    };
    write(db, sql, &keys.iter().map(row).collect()).await
}

async fn authors(
    db: &SchemaManagerConnection<'_>,
    statement: Statement,
) -> Result<Vec<Author>, DbErr> {
    let mut authors = Vec::new();
    for row in db.query_all_raw(statement).await? {
        let (id, name) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        authors.push(Author { id, name, key: row.try_get_by_index(2)? });
    }
    Ok(authors)
}
