//! Authors in the schema: the object, its lists, inputs, queries and mutations.

use std::{collections::HashMap, sync::Arc};

use async_graphql::{
    Context, ID, InputObject, Object,
    connection::{Connection, Edge, EmptyFields},
};
use entity::{author, book};

use crate::{
    catalog::{
        authors::{self, order::ByName},
        books::order,
        pagination::{Cursor, Page, PageArgs, SortOrder},
    },
    database::Session,
    error::Result,
    graphql::{
        book::{BookConnection, BookList, inputs::BookOrder},
        compat::resolve_inline::ResolveInline,
        connection::{List, TotalCount, connection},
        context::{FieldContext, resolve_field, resolve_mutation, resolve_query},
        dataloader::Loader,
        node::{self, NodeType},
    },
};

/// An author of books.
#[derive(Clone)]
pub struct Author(pub Arc<author::Model>);

impl From<author::Model> for Author {
    fn from(author: author::Model) -> Self {
        Self(Arc::new(author))
    }
}

impl Author {
    /// The type's name in the schema.
    pub const TYPE: &'static str = "Author";
}

/// An author of books.
#[Object]
impl Author {
    /// A globally unique, opaque id.
    pub(super) async fn id(&self) -> ID {
        node::id::<Self>(self.0.id)
    }

    /// The name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The author's books.
    async fn books(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The page size, counted from the start (default 20, maximum 100).")]
        first: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "The page size, counted from the end (maximum 100).")] last: Option<i32>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
        #[graphql(desc = "The sort order (default: the order of creation).")] order_by: Option<
            BookOrder,
        >,
    ) -> Result<BookConnection> {
        resolve_field(context, Self::TYPE, async |call| {
            let order = order_by.map_or_else(order::BookOrder::default, Into::into);
            let args = PageArgs::from_relay((first, after), (last, before), order.name())?;
            let page = call.load_one::<BooksOfAuthor>((self.0.id, order, args)).await?;
            Ok(connection(page.unwrap_or_default(), BookList::OfAuthor(self.0.id)))
        })
        .await
    }
}

impl NodeType for Author {
    const PREFIX: &'static str = "author";

    async fn find(db: &Session<'_>, rows: &[i64]) -> Result<HashMap<i64, Self>> {
        let authors = authors::find_many(db, rows).await?;
        Ok(authors.into_iter().map(|author| (author.id, author.into())).collect())
    }
}

/// A page of authors.
pub type AuthorConnection = Connection<Cursor, ResolveInline<Author>, TotalCount<AuthorList>>;
/// An author with their cursor.
pub type AuthorEdge = Edge<Cursor, ResolveInline<Author>, EmptyFields>;

/// A list of authors.
pub struct AuthorList {
    /// What their names contain.
    name_contains: Option<String>,
}

impl List for AuthorList {
    const CONNECTION: &'static str = "AuthorConnection";

    async fn count(&self, call: &FieldContext) -> Result<u64> {
        authors::count(&call.reader(), self.name_contains.as_deref()).await
    }
}

/// Loads pages of the books of authors.
pub struct BooksOfAuthor;

impl Loader for BooksOfAuthor {
    type Key = (i64, order::BookOrder, PageArgs);
    type Value = Page<book::Model>;
    const NAME: &'static str = "books";

    /// One statement for all authors that are asked for the same part of their books, which
    /// those of one field are.
    async fn load(
        db: &Session<'_>,
        keys: Vec<Self::Key>,
    ) -> Result<HashMap<Self::Key, Self::Value>> {
        let mut by_part: HashMap<(order::BookOrder, PageArgs), Vec<i64>> = HashMap::new();
        for (author, order, args) in keys {
            by_part.entry((order, args)).or_default().push(author);
        }
        let mut pages = HashMap::new();
        for ((order, args), ids) in by_part {
            let of_author = authors::books_of(db, &ids, order, &args).await?;
            pages.extend(of_author.into_iter().map(|(id, page)| ((id, order, args.clone()), page)));
        }
        Ok(pages)
    }
}

/// Loads the numbers of books of authors.
pub struct BookCountOfAuthor;

impl Loader for BookCountOfAuthor {
    type Key = i64;
    type Value = u64;
    const NAME: &'static str = "bookCounts";

    async fn load(db: &Session<'_>, authors: Vec<i64>) -> Result<HashMap<i64, u64>> {
        authors::count_books(db, &authors).await
    }
}

/// Conditions that an author must meet.
#[derive(Clone, Debug, InputObject)]
pub struct AuthorFilter {
    /// The name contains this, whatever its case, accents and special letters.
    pub name_contains: Option<String>,
}

/// The fields of a new author.
#[derive(Clone, Debug, InputObject)]
pub struct CreateAuthorInput {
    /// The name, 1 to 200 characters. No two authors have the same, whatever its case, accents and special letters.
    pub name: String,
}

/// The changes to an author.
#[derive(Clone, Debug, InputObject)]
pub struct UpdateAuthorInput {
    /// The name, 1 to 200 characters. No two authors have the same, whatever its case, accents and special letters.
    pub name: String,
}

/// The queries of authors.
#[derive(Default)]
pub struct AuthorQuery;

/// The queries of authors.
#[Object]
impl AuthorQuery {
    /// The author with this id, or null if there is none.
    async fn author(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "An author's global id.")] id: ID,
    ) -> Result<Option<ResolveInline<Author>>> {
        resolve_query(context, async |call| {
            let row = node::row::<Author>(&id, "id")?;
            Ok(authors::find(&call.reader(), row).await?.map(ResolveInline::of))
        })
        .await
    }

    /// A list of authors, by name.
    async fn authors(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The page size, counted from the start (default 20, maximum 100).")]
        first: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "The page size, counted from the end (maximum 100).")] last: Option<i32>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only items that meet these conditions.")] filter: Option<AuthorFilter>,
    ) -> Result<AuthorConnection> {
        resolve_query(context, async |call| {
            let args = PageArgs::from_relay((first, after), (last, before), ByName.name())?;
            let part = filter.and_then(|filter| filter.name_contains);
            let page = authors::list(&call.reader(), part.as_deref(), &args).await?;
            Ok(connection(page, AuthorList { name_contains: part }))
        })
        .await
    }
}

/// The mutations of authors. Each is one transaction.
#[derive(Default)]
pub struct AuthorMutation;

/// The mutations of authors.
#[Object]
impl AuthorMutation {
    /// Creates an author.
    async fn create_author(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The author.")] input: CreateAuthorInput,
    ) -> Result<ResolveInline<Author>> {
        resolve_mutation(context, async |call| {
            let tx = call.begin().await?;
            let author = authors::create(&tx, &input.name)
                .await
                .map_err(|error| error.with_path_prefix(["input"]))?;
            tx.commit().await?;
            Ok(ResolveInline::of(author))
        })
        .await
    }

    /// Renames an author.
    async fn update_author(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The author's global id.")] id: ID,
        #[graphql(desc = "The changes.")] input: UpdateAuthorInput,
    ) -> Result<ResolveInline<Author>> {
        resolve_mutation(context, async |call| {
            let row = node::row::<Author>(&id, "id")?;
            let tx = call.begin().await?;
            let author = authors::rename(&tx, row, &input.name)
                .await
                .map_err(|error| error.with_path_prefix(["input"]))?;
            tx.commit().await?;
            Ok(ResolveInline::of(author))
        })
        .await
    }

    /// Deletes an author and returns the id. While books refer to the author, the
    /// error is CONFLICT.
    async fn delete_author(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The author's global id.")] id: ID,
    ) -> Result<ID> {
        resolve_mutation(context, async |call| {
            let row = node::row::<Author>(&id, "id")?;
            let tx = call.begin().await?;
            authors::delete(&tx, row).await?;
            tx.commit().await?;
            Ok(id)
        })
        .await
    }
}
