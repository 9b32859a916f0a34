//! The orders in which books are listed.

use entity::book;
use sea_orm::{Value, sea_query::Expr};

use crate::catalog::pagination::{Cursor, Key, SortOrder, time_value};

/// What books are sorted by. Ties, and [`BookField::Id`] itself, go by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BookField {
    /// The order in which they were entered.
    #[default]
    Id,
    /// The title in normal form.
    Title,
    /// The year of publication; unknown ones last, both ways.
    Year,
    /// The number of pages; unknown ones last, both ways.
    Pages,
    /// When they were entered.
    CreatedAt,
}

/// A sort order of books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BookOrder {
    /// The field to sort by.
    pub field: BookField,
    /// Descending.
    pub descending: bool,
}

/// What an unknown year or page count sorts as, ascending and descending: last, both ways.
/// Also written in the index expressions of the migration.
const NO_YEAR: [i32; 2] = [32767, -32768];
const NO_PAGES: [i32; 2] = [1_000_000, -1];

impl BookOrder {
    /// The place of `book` in this order.
    #[must_use]
    pub fn cursor(&self, book: &book::Model) -> Cursor {
        let or_last = |value: Option<i32>, last: [i32; 2]| {
            Key::Number(value.unwrap_or(last[usize::from(self.descending)]).into())
        };
        let key = match self.field {
            BookField::Id => Key::None,
            BookField::Title => Key::Text(book.title_key.clone()),
            BookField::Year => or_last(book.published_year, NO_YEAR),
            BookField::Pages => or_last(book.pages, NO_PAGES),
            BookField::CreatedAt => Key::Number(book.created_at.timestamp_micros()),
        };
        Cursor { ordering: self.name().to_owned(), key, id: book.id }
    }

    /// `COALESCE` with the stand-in as a literal: with a parameter in its place, the
    /// expression would no longer be the one that is indexed.
    fn or_last(self, column: &str, last: [i32; 2]) -> Expr {
        let stand_in = last[usize::from(self.descending)];
        Expr::cust(format!("COALESCE(\"book\".\"{column}\", {stand_in})"))
    }
}

impl SortOrder for BookOrder {
    fn name(&self) -> &'static str {
        match (self.field, self.descending) {
            (BookField::Id, false) => "id",
            (BookField::Id, true) => "-id",
            (BookField::Title, false) => "title",
            (BookField::Title, true) => "-title",
            (BookField::Year, false) => "year",
            (BookField::Year, true) => "-year",
            (BookField::Pages, false) => "pages",
            (BookField::Pages, true) => "-pages",
            (BookField::CreatedAt, false) => "created",
            (BookField::CreatedAt, true) => "-created",
        }
    }

    fn expr(&self) -> Option<Expr> {
        Some(match self.field {
            BookField::Id => return None,
            BookField::Title => Expr::col((book::Entity, book::Column::TitleKey)),
            BookField::Year => self.or_last("published_year", NO_YEAR),
            BookField::Pages => self.or_last("pages", NO_PAGES),
            BookField::CreatedAt => Expr::col((book::Entity, book::Column::CreatedAt)),
        })
    }

    fn id(&self) -> Expr {
        Expr::col((book::Entity, book::Column::Id))
    }

    fn descending(&self) -> bool {
        self.descending
    }

    fn value(&self, key: &Key) -> Value {
        match key {
            Key::Number(micros) if self.field == BookField::CreatedAt => time_value(*micros),
            Key::Number(number) => i32::try_from(*number).unwrap_or(i32::MAX).into(),
            Key::Text(text) => text.as_str().into(),
            Key::None => Value::Int(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sea_orm::{
        ConnectionTrait, DbBackend, EntityTrait, QuerySelect, Statement,
        sea_query::SqliteQueryBuilder,
    };

    use super::*;
    use crate::{catalog::pagination::PageArgs, config::Cli, database::Database};

    /// A page must be sought in its order's index: scanned from the start, or sorted, a deep page
    /// would cost its depth.
    #[tokio::test]
    async fn every_order_seeks_in_an_index() {
        let arguments = ["colophon", "--database-url", "sqlite::memory:"];
        let db = Database::open(&Cli::parse_from(arguments).settings.database).await.unwrap();
        db.migrate_up().await.unwrap();
        let fields = [
            BookField::Id,
            BookField::Title,
            BookField::Year,
            BookField::Pages,
            BookField::CreatedAt,
        ];
        for (field, descending, backward) in fields.into_iter().flat_map(|field| {
            [(false, false), (false, true), (true, false), (true, true)].map(|(d, b)| (field, d, b))
        }) {
            let order = BookOrder { field, descending };
            let key = match field {
                BookField::Id => Key::None,
                BookField::Title => Key::Text("m".into()),
                _ => Key::Number(1),
            };
            let from = Some(Cursor { ordering: order.name().into(), key, id: 1 });
            let mut select = book::Entity::find();
            let select = QuerySelect::query(&mut select);
            order.apply(select, &PageArgs { limit: 20, backward, from });
            let sql = select.limit(20).to_string(SqliteQueryBuilder);
            let plan = format!("EXPLAIN QUERY PLAN {sql}");
            let plan = Statement::from_string(DbBackend::Sqlite, plan);
            let rows = db.reader(None).query_all_raw(plan).await.unwrap();
            let steps: Vec<String> =
                rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
            assert!(
                matches!(&steps[..], [step] if step.starts_with("SEARCH book USING")),
                "{order:?} backward {backward}: {steps:?}"
            );
        }
    }
}
