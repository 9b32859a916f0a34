//! Books in the schema: the object, its lists, the queries and mutations. It wraps the entity and is never derived
//! on it: a column more is not a field more.

pub mod inputs;
mod prefetch;

use std::collections::HashMap;

use async_graphql::{
    Context, ID, Object,
    connection::{Connection, Edge, EmptyFields},
};
use chrono::{DateTime, Utc};
use entity::book;

use self::inputs::{BookFilter, BookOrder, CreateBookInput, UpdateBookInput};
use crate::{
    catalog::{
        authors,
        books::{self, filter, input::NewBook, isbn, order},
        metrics,
        pagination::{Cursor, PageArgs, SortOrder},
        search::Search,
    },
    database::Session,
    error::{Error, Result},
    graphql::{
        author::{Author, BookCountOfAuthor},
        compat::resolve_inline::ResolveInline,
        connection::{List, TotalCount, connection},
        context::{FieldContext, resolve_field, resolve_mutation, resolve_query},
        dataloader::Loader,
        node::{self, NodeType},
    },
};

/// A book.
#[derive(Clone)]
pub struct Book {
    /// What the catalog has of it.
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

/// A book.
#[Object]
impl Book {
    /// A globally unique, opaque id.
    pub(super) async fn id(&self) -> ID {
        node::id::<Self>(self.row.id)
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

    /// When the book was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.row.created_at
    }

    /// When the book was last updated.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.row.updated_at
    }

    /// Starts at 1 and increases with each update. Pass it as `expectedVersion` to update the
    /// book only if it has not been updated since.
    async fn version(&self) -> i32 {
        self.row.version
    }

    /// The authors, in the order of the title page.
    async fn authors(&self, context: &Context<'_>) -> Result<Vec<ResolveInline<Author>>> {
        if let Some(authors) = &self.authors {
            return authors.clone();
        }
        resolve_field(context, Self::TYPE, async |call| {
            Ok(call.load_one::<AuthorsOfBook>(self.row.id).await?.unwrap_or_default())
        })
        .await
    }
}

impl NodeType for Book {
    const PREFIX: &'static str = "book";

    async fn find(db: &Session<'_>, rows: &[i64]) -> Result<HashMap<i64, Self>> {
        let books = books::find_many(db, rows).await?;
        Ok(books.into_iter().map(|book| (book.id, book.into())).collect())
    }
}

/// A page of books.
pub type BookConnection = Connection<Cursor, ResolveInline<Book>, TotalCount<BookList>>;
/// A book with its cursor.
pub type BookEdge = Edge<Cursor, ResolveInline<Book>, EmptyFields>;

/// A list of books.
pub enum BookList {
    /// Those that a filter lets through.
    Filtered(filter::BookFilter),
    /// Those of an author.
    OfAuthor(i64),
    /// Those that have all words.
    Found(Search),
}

impl List for BookList {
    const CONNECTION: &'static str = "BookConnection";

    async fn count(&self, call: &FieldContext) -> Result<u64> {
        match self {
            Self::Filtered(filter) => books::count(&call.reader(), filter).await,
            Self::OfAuthor(author) => {
                Ok(call.load_one::<BookCountOfAuthor>(*author).await?.unwrap_or(0))
            }
            Self::Found(search) => search.count(&call.reader()).await,
        }
    }
}

/// Loads the authors of books, in the order of the title page.
pub struct AuthorsOfBook;

impl Loader for AuthorsOfBook {
    type Key = i64;
    type Value = Vec<ResolveInline<Author>>;
    const NAME: &'static str = "authors";

    async fn load(db: &Session<'_>, books: Vec<i64>) -> Result<HashMap<i64, Self::Value>> {
        let authors = authors::of_books(db, &books).await?;
        let wrap = |authors: Vec<_>| authors.into_iter().map(ResolveInline::of).collect();
        Ok(authors.into_iter().map(|(book, authors)| (book, wrap(authors))).collect())
    }
}

/// Loads books.
pub struct BookById;

impl Loader for BookById {
    type Key = i64;
    type Value = ResolveInline<Book>;
    const NAME: &'static str = "books";

    async fn load(db: &Session<'_>, ids: Vec<i64>) -> Result<HashMap<i64, Self::Value>> {
        let books = books::find_many(db, &ids).await?;
        Ok(books.into_iter().map(|book| (book.id, ResolveInline::of(book))).collect())
    }
}

/// The queries of books.
#[derive(Default)]
pub struct BookQuery;

/// The queries of books.
#[Object]
impl BookQuery {
    /// The book with this id, or null if there is none.
    async fn book(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "A book's global id.")] id: ID,
    ) -> Result<Option<ResolveInline<Book>>> {
        resolve_query(context, async |call| {
            let row = node::row::<Book>(&id, "id")?;
            Ok(books::find(&call.reader(), row).await?.map(ResolveInline::of))
        })
        .await
    }

    /// The book with this ISBN, or null if there is none.
    async fn book_by_isbn(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "An ISBN-10 or ISBN-13; hyphens are allowed.")] isbn: String,
    ) -> Result<Option<ResolveInline<Book>>> {
        resolve_query(context, async |call| {
            let isbn13 = isbn::parse(&isbn).ok_or_else(|| {
                Error::invalid(["isbn"], "must be an ISBN-10 or ISBN-13 with a right check digit")
            })?;
            Ok(books::find_by_isbn(&call.reader(), &isbn13).await?.map(ResolveInline::of))
        })
        .await
    }

    /// A list of books.
    #[expect(clippy::too_many_arguments, reason = "Relay's four, a filter and an order")]
    async fn books(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The page size, counted from the start (default 20, maximum 100).")]
        first: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "The page size, counted from the end (maximum 100).")] last: Option<i32>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only items that meet these conditions.")] filter: Option<BookFilter>,
        #[graphql(desc = "The sort order (default: the order of creation).")] order_by: Option<
            BookOrder,
        >,
    ) -> Result<BookConnection> {
        let (page, filter) = resolve_query(context, async |call| {
            let order = order_by.map_or_else(order::BookOrder::default, Into::into);
            let filter = filter.map_or_else(filter::BookFilter::default, BookFilter::into_filter);
            let args = PageArgs::from_relay((first, after), (last, before), order.name())?;
            Ok((books::list(&call.reader(), &filter, order, &args).await?, filter))
        })
        .await?;
        Ok(connection(prefetch::with_authors(context, page).await, BookList::Filtered(filter)))
    }

    /// The books that have every word of the query in their title or their authors' names, those
    /// with all words in the title first, and of these the shortest title first.
    async fn search(
        &self,
        context: &Context<'_>,
        #[graphql(
            desc = "Words, 1 to 20; case, accents, special letters and punctuation do not matter: `nesbo` finds Nesbø."
        )]
        query: String,
        #[graphql(desc = "The page size (default 20, maximum 100).")] first: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
    ) -> Result<BookConnection> {
        let (page, search) = resolve_query(context, async |call| {
            let search = Search::new(&query)?;
            let args = PageArgs::from_relay((first, after), (None, None), &search.name)?;
            Ok((search.page(&call.reader(), &args).await?, search))
        })
        .await?;
        Ok(connection(prefetch::with_authors(context, page).await, BookList::Found(search)))
    }
}

/// The mutations of books. Each is one transaction, or one statement.
#[derive(Default)]
pub struct BookMutation;

/// The mutations of books.
#[Object]
impl BookMutation {
    /// Creates a book.
    async fn create_book(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The book.")] input: CreateBookInput,
    ) -> Result<ResolveInline<Book>> {
        resolve_mutation(context, async |call| {
            let book = input.into_book().map_err(|error| error.with_path_prefix(["input"]))?;
            let book =
                create(&call, book).await.map_err(|error| error.with_path_prefix(["input"]))?;
            metrics::created(1);
            Ok(ResolveInline::of(book))
        })
        .await
    }

    /// Updates a book: fields that are left out are kept, fields that are null are cleared.
    async fn update_book(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The book's global id.")] id: ID,
        #[graphql(desc = "The changes.")] input: UpdateBookInput,
        #[graphql(
            desc = "Updates the book only if it is still at this version; otherwise the error is CONFLICT."
        )]
        expected_version: Option<i32>,
    ) -> Result<ResolveInline<Book>> {
        resolve_mutation(context, async |call| {
            let row = node::row::<Book>(&id, "id")?;
            let patch = input.into_patch().map_err(|error| error.with_path_prefix(["input"]))?;
            let tx = call.begin().await?;
            let written = books::update(&tx, row, patch, expected_version)
                .await
                .map_err(|error| error.with_path_prefix(["input"]))?;
            call.commit(tx, &[written.change]).await?;
            metrics::updated(1);
            Ok(ResolveInline::of(written.book))
        })
        .await
    }

    /// Deletes a book and returns its id. Its authors are kept.
    async fn delete_book(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The book's global id.")] id: ID,
        #[graphql(
            desc = "Deletes the book only if it is still at this version; otherwise the error is CONFLICT."
        )]
        expected_version: Option<i32>,
    ) -> Result<ID> {
        resolve_mutation(context, async |call| {
            let row = node::row::<Book>(&id, "id")?;
            let tx = call.begin().await?;
            let change = books::delete(&tx, row, expected_version).await?;
            call.commit(tx, &[change]).await?;
            metrics::deleted(1);
            Ok(id)
        })
        .await
    }
}

async fn create(call: &FieldContext, book: NewBook) -> Result<book::Model> {
    if book.authors.is_empty() {
        let (db, cause) = (call.writer(), call.cause());
        return books::create_standalone(&db, &call.notifier(), Some(cause), book).await;
    }
    // In a box: all mutations would be as large as this.
    Box::pin(async {
        let tx = call.begin().await?;
        let written = books::create(&tx, book).await?;
        call.commit(tx, &[written.change]).await?;
        Ok(written.book)
    })
    .await
}
