//! Relay connections over the catalogue's pages.

use async_graphql::{
    ContainerType, Context, Object,
    connection::{Connection, CursorType, Edge, EmptyFields},
};

use crate::{
    catalog::{
        authors,
        books::{self, filter::BookFilter},
        pagination::{Cursor, Page},
        search::Search,
    },
    error::Result,
    graphql::{
        compat::resolve_inline::ResolveInline,
        context::{ParentType, resolve},
        types::{Author, Book},
    },
};

/// A page of books.
pub type BookConnection = Connection<Cursor, ResolveInline<Book>, TotalCount>;
/// A page of authors.
pub type AuthorConnection = Connection<Cursor, ResolveInline<Author>, TotalCount>;
/// A book with its cursor.
pub type BookEdge = Edge<Cursor, ResolveInline<Book>, EmptyFields>;
/// An author with their cursor.
pub type AuthorEdge = Edge<Cursor, ResolveInline<Author>, EmptyFields>;

impl CursorType for Cursor {
    type Error = std::convert::Infallible;

    /// Never called: cursors are read by the catalogue, which knows the list's order.
    fn decode_cursor(_: &str) -> std::result::Result<Self, Self::Error> {
        unreachable!("cursors are decoded by `PageArgs::from_relay`")
    }

    fn encode_cursor(&self) -> String {
        self.encode()
    }
}

/// The list that a page is of.
pub enum List {
    /// The books that a filter lets through.
    Books(BookFilter),
    /// The books of an author.
    BooksOf(i64),
    /// The books that have all words.
    Found(Search),
    /// The authors whose name contains this.
    Authors(Option<String>),
}

impl List {
    /// The type that has the field `totalCount`.
    const fn connection_type(&self) -> &'static str {
        match self {
            Self::Books(_) | Self::BooksOf(_) | Self::Found(_) => "BookConnection",
            Self::Authors(_) => "AuthorConnection",
        }
    }
}

/// Counts a list, but only when it is selected.
pub struct TotalCount(List);

#[Object]
impl TotalCount {
    /// The number of items in the whole list. Counted only when selected; in a large catalogue
    /// it costs more than the page.
    async fn total_count(&self, context: &Context<'_>) -> Result<u64> {
        resolve(context, ParentType::Type(self.0.connection_type()), async |call| match &self.0 {
            List::Books(filter) => books::count(&call.reader(), filter).await,
            List::BooksOf(author) => call.book_count_of_author(*author).await,
            List::Found(search) => search.count(&call.reader()).await,
            List::Authors(part) => authors::count(&call.reader(), part.as_deref()).await,
        })
        .await
    }
}

/// The connection of a page of `list`.
#[must_use]
pub fn connection<T, U>(
    page: Page<T>,
    list: List,
) -> Connection<Cursor, ResolveInline<U>, TotalCount>
where
    U: From<T> + ContainerType,
{
    let mut connection =
        Connection::with_additional_fields(page.has_previous, page.has_next, TotalCount(list));
    connection.edges.extend(
        page.items
            .into_iter()
            .map(|(cursor, item)| Edge::new(cursor, ResolveInline(U::from(item)))),
    );
    connection
}
