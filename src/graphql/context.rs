//! What nested fields load in batches, and the data that every resolver has.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_graphql::Context;
use entity::book;
use graphql_telemetry::graphql::{Execution, Field};
use opentelemetry as trace;
use runtime_insight::in_section;

use crate::{
    catalog::{
        authors,
        books::order::BookOrder,
        pagination::{Page, PageArgs},
    },
    database::{Database, Session, Transaction},
    error::{Error, Result},
    graphql::{
        compat::resolve_inline::ResolveInline,
        dataloader::{BatchScheduler, DataLoader, Loader},
        types::Author,
    },
    security::{Caller, Scope},
};

/// The catalogue as the resolvers of one request see it. They get at it by [`resolve`] only.
#[derive(Clone)]
pub struct RequestContext(Arc<Inner>);

struct Inner {
    db: Database,
    execution: Arc<Execution>,
    caller: Caller,
    authors_of_book: DataLoader<AuthorsOfBook>,
    books_of_author: DataLoader<BooksOfAuthor>,
    book_count_of_author: DataLoader<BookCountOfAuthor>,
}

impl RequestContext {
    /// For one request of `caller`, whose batches `batches` drives.
    #[must_use]
    pub fn new(
        db: &Database,
        batches: &BatchScheduler,
        execution: Arc<Execution>,
        caller: Caller,
    ) -> Self {
        Self(Arc::new(Inner {
            db: db.clone(),
            execution,
            caller,
            authors_of_book: DataLoader::new(AuthorsOfBook(db.clone()), batches.clone()),
            books_of_author: DataLoader::new(BooksOfAuthor(db.clone()), batches.clone()),
            book_count_of_author: DataLoader::new(BookCountOfAuthor(db.clone()), batches.clone()),
        }))
    }

    /// That of the request that `context` is of.
    ///
    /// # Panics
    /// If the request was not made by the engine, which gives each one its request.
    #[must_use]
    pub fn of<'a>(context: &Context<'a>) -> &'a Self {
        context.data_unchecked()
    }

    /// What the request's fields are calls of.
    #[must_use]
    pub fn execution(&self) -> &Execution {
        &self.0.execution
    }

    /// What loads the authors of books that are there already.
    #[must_use]
    pub fn authors_of_books(&self) -> AuthorsOfBook {
        AuthorsOfBook(self.0.db.clone())
    }
}

/// A call of a field whose resolver does I/O. The only way to the database, so that no statement
/// can be without its field's span.
pub struct FieldContext {
    request: RequestContext,
    field: Arc<Field>,
}

/// What has the field that is called, and with it what the caller must be allowed.
#[derive(Clone, Copy, Debug)]
pub enum ParentType {
    /// The reading root; its fields say which scope they take.
    Query(Scope),
    /// The writing root; its fields say which scope they take.
    Mutation(Scope),
    /// A type of this name. What hangs on an object is read, even below a mutation.
    Type(&'static str),
}

impl ParentType {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Query(_) => "Query",
            Self::Mutation(_) => "Mutation",
            Self::Type(name) => name,
        }
    }

    const fn scope(self) -> Scope {
        match self {
            Self::Query(scope) | Self::Mutation(scope) => scope,
            Self::Type(_) => Scope::Read,
        }
    }
}

/// Does the work of the call that `context` is of, if the caller may have it done.
///
/// # Errors
/// Those of the work, or that the caller may not.
///
/// # Panics
/// As [`RequestContext::of`].
pub async fn resolve<T>(
    context: &Context<'_>,
    owner: ParentType,
    // By value, and so without a lifetime: the compiler could not tell that the work is `Send`.
    work: impl AsyncFnOnce(FieldContext) -> Result<T>,
) -> Result<T> {
    let request = RequestContext::of(context);
    let path = context.path_node.as_ref().expect("a field has a path");
    let name = &context.item.node.name.node;
    let call = request.0.execution.call(owner.name(), name, path);
    if let Err(error) = request.0.caller.require(owner.scope()) {
        return call.end(Err(error));
    }
    let field = call.field().clone();
    let section = field.section();
    let field_context = FieldContext { request: request.clone(), field };
    let result = in_section(section, work(field_context)).await;
    call.end(match owner {
        ParentType::Mutation(_) => {
            request.0.db.observe_write(result.is_ok());
            result.map_err(Error::in_mutation)
        }
        _ => result,
    })
}

impl FieldContext {
    /// For reading.
    #[must_use]
    pub fn reader(&self) -> Session<'_> {
        self.request.0.db.reader(Some(self.field.context()))
    }

    /// Holds every connection that reads, for as long as `time`.
    ///
    /// # Errors
    /// If one cannot be had in time.
    pub async fn occupy_pool(&self, time: Duration) -> Result<()> {
        self.request.0.db.occupy_readers(time).await
    }

    /// For changes that are done at once.
    #[must_use]
    pub fn writer(&self) -> Session<'_> {
        self.request.0.db.writer(Some(self.field.context()))
    }

    /// For changes that are several.
    ///
    /// # Errors
    /// If no connection can be had in time, or the database refuses.
    pub async fn begin(&self) -> Result<Transaction> {
        self.request.0.db.begin(Some(self.field.context())).await
    }

    /// The authors of a book, in order.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn authors_of_book(&self, book: i64) -> Result<Vec<ResolveInline<Author>>> {
        let authors = self.request.0.authors_of_book.load(&self.field, book).await?;
        Ok(authors.unwrap_or_default())
    }

    /// A page of the books of an author.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn books_of_author(
        &self,
        author: i64,
        order: BookOrder,
        args: PageArgs,
    ) -> Result<Page<book::Model>> {
        let key = (author, order, args);
        let page = self.request.0.books_of_author.load(&self.field, key).await?;
        Ok(page.unwrap_or(Page { items: Vec::new(), has_next: false, has_previous: false }))
    }

    /// The number of books of an author.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn book_count_of_author(&self, author: i64) -> Result<u64> {
        let count = self.request.0.book_count_of_author.load(&self.field, author).await?;
        Ok(count.unwrap_or(0))
    }
}

/// See [`FieldContext::authors_of_book`].
pub struct AuthorsOfBook(Database);

impl Loader for AuthorsOfBook {
    type Key = i64;
    type Value = Vec<ResolveInline<Author>>;
    const NAME: &'static str = "authors";

    async fn load(
        &self,
        parent: &trace::Context,
        books: Vec<i64>,
    ) -> Result<HashMap<i64, Vec<ResolveInline<Author>>>> {
        let authors = authors::of_books(&self.0.reader(Some(parent)), &books).await?;
        let wrap = |authors: Vec<_>| authors.into_iter().map(ResolveInline::of).collect();
        Ok(authors.into_iter().map(|(book, authors)| (book, wrap(authors))).collect())
    }
}

/// See [`FieldContext::books_of_author`].
pub struct BooksOfAuthor(Database);

impl Loader for BooksOfAuthor {
    type Key = (i64, BookOrder, PageArgs);
    type Value = Page<book::Model>;
    const NAME: &'static str = "books";

    /// One statement for all authors that are asked for the same part of their books, which
    /// those of one field are.
    async fn load(
        &self,
        parent: &trace::Context,
        keys: Vec<Self::Key>,
    ) -> Result<HashMap<Self::Key, Page<book::Model>>> {
        let db = self.0.reader(Some(parent));
        let mut by_part: HashMap<(BookOrder, PageArgs), Vec<i64>> = HashMap::new();
        for (author, order, args) in keys {
            by_part.entry((order, args)).or_default().push(author);
        }
        let mut pages = HashMap::new();
        for ((order, args), ids) in by_part {
            let of_author = authors::books_of(&db, &ids, order, &args).await?;
            pages.extend(of_author.into_iter().map(|(id, page)| ((id, order, args.clone()), page)));
        }
        Ok(pages)
    }
}

/// See [`FieldContext::book_count_of_author`].
pub struct BookCountOfAuthor(Database);

impl Loader for BookCountOfAuthor {
    type Key = i64;
    type Value = u64;
    const NAME: &'static str = "bookCounts";

    async fn load(&self, parent: &trace::Context, authors: Vec<i64>) -> Result<HashMap<i64, u64>> {
        authors::count_books(&self.0.reader(Some(parent)), &authors).await
    }
}
