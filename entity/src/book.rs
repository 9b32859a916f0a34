//! A book.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "book")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    #[sea_orm(column_type = "Text")]
    pub title: String,
    /// The title in normal form: what sorting and "contains" compare, so that both databases agree.
    #[sea_orm(column_type = "Text")]
    pub title_key: String,
    pub pages: Option<i32>,
    /// Thirteen digits with a valid check digit.
    #[sea_orm(unique)]
    pub isbn13: Option<String>,
    /// Negative before the common era.
    pub published_year: Option<i32>,
    /// A language tag such as `en` or `en-US`.
    pub language: Option<String>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    /// Starts at 1 and grows by one with each change.
    pub version: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(has_many = "super::book_author::Entity")]
    BookAuthor,
}

impl Related<super::book_author::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::BookAuthor.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
