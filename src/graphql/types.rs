//! Books and authors as clients see them. They wrap the entities and are never derived on
//! them: a column more is not a field more.

use std::sync::Arc;

use async_graphql::{Context, ID, Interface, Object};
use chrono::{DateTime, Utc};
use entity::{author, book};

use crate::{
    catalog::{
        books::order,
        pagination::{PageArgs, SortOrder},
    },
    error::Result,
    graphql::{
        compat::resolve_inline::ResolveInline,
        connection::{BookConnection, List, connection},
        context::{ParentType, resolve},
        input::BookOrder,
        node::GlobalId,
    },
};

/// Anything with a global id.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Names the object among all objects."))]
#[expect(clippy::large_enum_variant, reason = "a hundred at a time at most")]
pub enum Node {
    /// A book.
    Book(Book),
    /// An author.
    Author(Author),
}

/// A book of the catalogue.
pub struct Book {
    /// What the catalogue has of it.
    pub row: book::Model,
    /// Its authors, if they were loaded with it.
    pub authors: Option<Result<Vec<ResolveInline<Author>>>>,
}

impl Book {
    /// The type's name in the schema.
    pub const TYPE: &'static str = "Book";
    /// The name of the field with the authors.
    pub const AUTHORS: &'static str = "authors";
}

impl From<book::Model> for Book {
    fn from(row: book::Model) -> Self {
        Self { row, authors: None }
    }
}

/// A book of the catalogue.
#[Object]
impl Book {
    /// Names the book among all objects. Opaque: hand it back as it is.
    async fn id(&self) -> ID {
        GlobalId::Book(self.row.id).into()
    }

    /// The title.
    async fn title(&self) -> &str {
        &self.row.title
    }

    /// The number of pages, if known.
    async fn pages(&self) -> Option<i32> {
        self.row.pages
    }

    /// The ISBN, thirteen digits, if known. No two books have the same.
    async fn isbn13(&self) -> Option<&str> {
        self.row.isbn13.as_deref()
    }

    /// The year of first publication, if known; negative before the common era.
    async fn published_year(&self) -> Option<i32> {
        self.row.published_year
    }

    /// The language, if known, as a tag such as `en` or `pt-BR`.
    async fn language(&self) -> Option<&str> {
        self.row.language.as_deref()
    }

    /// When the book was entered.
    async fn created_at(&self) -> DateTime<Utc> {
        self.row.created_at
    }

    /// When the book was last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.row.updated_at
    }

    /// Starts at 1 and grows with each change. Give it back as `expectedVersion` to change the
    /// book only if nobody else has meanwhile.
    async fn version(&self) -> i32 {
        self.row.version
    }

    /// The authors, in the order of the title page.
    async fn authors(&self, context: &Context<'_>) -> Result<Vec<ResolveInline<Author>>> {
        if let Some(authors) = &self.authors {
            return authors.clone();
        }
        resolve(context, ParentType::Type(Self::TYPE), async |call| {
            call.authors_of_book(self.row.id).await
        })
        .await
    }
}

/// Someone who wrote a book.
#[derive(Clone)]
pub struct Author(pub Arc<author::Model>);

impl From<author::Model> for Author {
    fn from(author: author::Model) -> Self {
        Self(Arc::new(author))
    }
}

/// Someone who wrote a book.
#[Object]
impl Author {
    /// Names the author among all objects. Opaque: hand it back as it is.
    async fn id(&self) -> ID {
        GlobalId::Author(self.0.id).into()
    }

    /// The name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The author's books.
    async fn books(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, from the start; 20 if nothing is said, 100 at most.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many, from the end; 100 at most.")] last: Option<i32>,
        #[graphql(desc = "Only those in front of this cursor.")] before: Option<String>,
        #[graphql(desc = "The order; as they were entered if nothing is said.")] order_by: Option<
            BookOrder,
        >,
    ) -> Result<BookConnection> {
        resolve(context, ParentType::Type("Author"), async |call| {
            let order = order_by.map_or_else(order::BookOrder::default, Into::into);
            let args = PageArgs::from_relay((first, after), (last, before), order.name())?;
            let page = call.books_of_author(self.0.id, order, args).await?;
            Ok(connection(page, List::BooksOf(self.0.id)))
        })
        .await
    }
}
