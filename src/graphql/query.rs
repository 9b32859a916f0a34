//! The reading roots.

use std::{borrow::Cow, collections::HashMap};

use async_graphql::{Context, ID, Object, TypeName};

use crate::{
    catalog::{
        authors,
        books::{
            self, filter, isbn,
            order::{self, ByName},
        },
        pagination::{MAX_PAGE, PageArgs, SortOrder},
        search::Search,
    },
    database::Session,
    error::{Error, Result},
    graphql::{
        compat::resolve_inline::ResolveInline,
        connection::{AuthorConnection, BookConnection, List, connection},
        context::{ParentType, resolve},
        input::{AuthorFilter, BookFilter, BookOrder},
        node::GlobalId,
        prefetch::with_authors,
        types::{Author, Book, Node},
    },
    security::Scope,
};

/// What can be read. As `PART` of a larger root it leaves the name to that.
pub struct Query<const PART: bool = false>;

impl<const PART: bool> TypeName for Query<PART> {
    fn type_name() -> Cow<'static, str> {
        if PART { "CatalogueQuery" } else { "Query" }.into()
    }
}

/// What can be read.
#[Object(name_type)]
impl<const PART: bool> Query<PART> {
    /// The object with this id, or null if there is none.
    async fn node(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "A global id, of whatever type.")] id: ID,
    ) -> Result<Option<Node>> {
        resolve(context, ParentType::Query(Scope::Read), async |call| {
            let db = call.reader();
            Ok(match GlobalId::parse(&id, "id")? {
                GlobalId::Book(row) => books::find(&db, row).await?.map(|b| Node::Book(b.into())),
                GlobalId::Author(row) => {
                    authors::find(&db, row).await?.map(|a| Node::Author(a.into()))
                }
            })
        })
        .await
    }

    /// The objects with these ids, in the same order, with null where there is none.
    async fn nodes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Global ids, of whatever types; 100 at most.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        resolve(context, ParentType::Query(Scope::Read), async |call| {
            if ids.len() as u64 > MAX_PAGE {
                return Err(Error::invalid(["ids"], format!("must be at most {MAX_PAGE}")));
            }
            let ids: Vec<GlobalId> = ids
                .iter()
                .enumerate()
                .map(|(i, id)| {
                    GlobalId::parse(id, &i.to_string()).map_err(|e| e.with_path_prefix(["ids"]))
                })
                .collect::<Result<_>>()?;
            nodes(&call.reader(), &ids).await
        })
        .await
    }

    /// The book with this id, or null if there is none.
    async fn book(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "A book's global id.")] id: ID,
    ) -> Result<Option<ResolveInline<Book>>> {
        resolve(context, ParentType::Query(Scope::Read), async |call| {
            let row = GlobalId::book(&id, "id")?;
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
        resolve(context, ParentType::Query(Scope::Read), async |call| {
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
        #[graphql(desc = "How many, from the start; 20 if nothing is said, 100 at most.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many, from the end; 100 at most.")] last: Option<i32>,
        #[graphql(desc = "Only those in front of this cursor.")] before: Option<String>,
        #[graphql(desc = "Only those that meet these conditions.")] filter: Option<BookFilter>,
        #[graphql(desc = "The order; as they were entered if nothing is said.")] order_by: Option<
            BookOrder,
        >,
    ) -> Result<BookConnection> {
        let (page, filter) = resolve(context, ParentType::Query(Scope::Read), async |call| {
            let order = order_by.map_or_else(order::BookOrder::default, Into::into);
            let filter = filter.map_or_else(filter::BookFilter::default, Into::into);
            let args = PageArgs::from_relay((first, after), (last, before), order.name())?;
            Ok((books::list(&call.reader(), &filter, order, &args).await?, filter))
        })
        .await?;
        Ok(connection(with_authors(context, page).await, List::Books(filter)))
    }

    /// The author with this id, or null if there is none.
    async fn author(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "An author's global id.")] id: ID,
    ) -> Result<Option<ResolveInline<Author>>> {
        resolve(context, ParentType::Query(Scope::Read), async |call| {
            let row = GlobalId::author(&id, "id")?;
            Ok(authors::find(&call.reader(), row).await?.map(ResolveInline::of))
        })
        .await
    }

    /// A list of authors, by name.
    async fn authors(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, from the start; 20 if nothing is said, 100 at most.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many, from the end; 100 at most.")] last: Option<i32>,
        #[graphql(desc = "Only those in front of this cursor.")] before: Option<String>,
        #[graphql(desc = "Only those that meet these conditions.")] filter: Option<AuthorFilter>,
    ) -> Result<AuthorConnection> {
        resolve(context, ParentType::Query(Scope::Read), async |call| {
            let args = PageArgs::from_relay((first, after), (last, before), ByName.name())?;
            let part = filter.and_then(|filter| filter.name_contains);
            let page = authors::list(&call.reader(), part.as_deref(), &args).await?;
            Ok(connection(page, List::Authors(part)))
        })
        .await
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
        #[graphql(desc = "How many; 20 if nothing is said, 100 at most.")] first: Option<i32>,
        #[graphql(desc = "Only those behind this cursor.")] after: Option<String>,
    ) -> Result<BookConnection> {
        let (page, search) = resolve(context, ParentType::Query(Scope::Read), async |call| {
            let search = Search::new(&query)?;
            let args = PageArgs::from_relay((first, after), (None, None), &search.name)?;
            Ok((search.page(&call.reader(), &args).await?, search))
        })
        .await?;
        Ok(connection(with_authors(context, page).await, List::Found(search)))
    }
}

async fn nodes(db: &Session<'_>, ids: &[GlobalId]) -> Result<Vec<Option<Node>>> {
    let (mut book_ids, mut author_ids) = (Vec::new(), Vec::new());
    for id in ids {
        match id {
            GlobalId::Book(row) => book_ids.push(*row),
            GlobalId::Author(row) => author_ids.push(*row),
        }
    }
    let mut books = HashMap::new();
    if !book_ids.is_empty() {
        books.extend(books::find_many(db, &book_ids).await?.into_iter().map(|b| (b.id, b)));
    }
    let mut authors = HashMap::new();
    if !author_ids.is_empty() {
        authors.extend(authors::find_many(db, &author_ids).await?.into_iter().map(|a| (a.id, a)));
    }
    // Not removed from the maps: an id may be asked for twice.
    let node = |id: &GlobalId| match id {
        GlobalId::Book(row) => books.get(row).map(|book| Node::Book(book.clone().into())),
        GlobalId::Author(row) => authors.get(row).map(|a| Node::Author(a.clone().into())),
    };
    Ok(ids.iter().map(node).collect())
}
