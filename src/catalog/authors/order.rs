//! The order in which authors are listed.

use entity::author;
use sea_orm::{Value, sea_query::Expr};

use crate::catalog::pagination::{Cursor, Key, SortOrder};

/// Authors by name.
#[derive(Clone, Copy, Debug)]
pub struct ByName;

impl ByName {
    /// The place of `author` in this order.
    #[must_use]
    pub fn cursor(&self, author: &author::Model) -> Cursor {
        let key = Key::Text(author.name_key.clone());
        Cursor { ordering: self.name().to_owned(), key, id: author.id }
    }
}

impl SortOrder for ByName {
    fn name(&self) -> &'static str {
        "name"
    }

    fn expr(&self) -> Option<Expr> {
        Some(Expr::col((author::Entity, author::Column::NameKey)))
    }

    fn id(&self) -> Expr {
        Expr::col((author::Entity, author::Column::Id))
    }

    fn descending(&self) -> bool {
        false
    }

    fn value(&self, key: &Key) -> Value {
        match key {
            Key::Text(text) => text.as_str().into(),
            Key::Number(_) | Key::None => Value::String(None),
        }
    }
}
