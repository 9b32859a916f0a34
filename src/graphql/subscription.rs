//! Subscriptions in the schema. What a field follows and when its events are executed, the engine says
//! ([`subscriptions`](super::execution::subscriptions)): a field is resolved once to find out what it follows, and
//! once for each event.

use std::collections::HashSet;

use async_graphql::{Context, Enum, ID, Object, Subscription};
use chrono::{DateTime, Utc};
use futures_util::{Stream, stream};

use crate::{
    catalog::{
        changes::{self, ChangeFilter},
        pagination::MAX_PAGE,
    },
    error::{Error, Result},
    graphql::{
        author::Author,
        book::{Book, BookById},
        compat::resolve_inline::ResolveInline,
        context::{resolve_field, resolve_subscription},
        execution::subscriptions::Event,
        node,
    },
};

/// What happened to a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ChangeKind {
    /// It was created.
    Created,
    /// It was updated.
    Updated,
    /// It was deleted.
    Deleted,
    /// Changes may have been missed: read again what you show. Sent whatever `kinds` says, when the
    /// connection to the database was lost, when more changed at once than is sent one by one (such as
    /// by an import), or when events were received too slowly.
    Refetch,
}

impl ChangeKind {
    const fn of(change: Option<changes::ChangeKind>) -> Self {
        match change {
            Some(changes::ChangeKind::Created) => Self::Created,
            Some(changes::ChangeKind::Updated) => Self::Updated,
            Some(changes::ChangeKind::Deleted) => Self::Deleted,
            None => Self::Refetch,
        }
    }

    const fn change(self) -> Option<changes::ChangeKind> {
        match self {
            Self::Created => Some(changes::ChangeKind::Created),
            Self::Updated => Some(changes::ChangeKind::Updated),
            Self::Deleted => Some(changes::ChangeKind::Deleted),
            Self::Refetch => None,
        }
    }
}

/// A change of a book.
pub struct BookChange(Event);

impl BookChange {
    const TYPE: &'static str = "BookChange";
}

/// A change of a book.
#[Object]
impl BookChange {
    /// What happened.
    async fn kind(&self) -> ChangeKind {
        ChangeKind::of(self.0.change.as_ref().map(|change| change.kind))
    }

    /// The book's global id; null of REFETCH.
    async fn id(&self) -> Option<ID> {
        self.0.change.as_ref().map(|change| node::id::<Book>(change.id))
    }

    /// The book's version since the change, or its last if it was deleted; null of REFETCH.
    async fn version(&self) -> Option<i32> {
        self.0.change.as_ref().map(|change| change.version)
    }

    /// The book as it is now, perhaps changed since; null if it was deleted, and of REFETCH.
    async fn book(&self, context: &Context<'_>) -> Result<Option<ResolveInline<Book>>> {
        match &self.0.change {
            Some(change) if change.kind != changes::ChangeKind::Deleted => {
                let id = change.id;
                resolve_field(context, Self::TYPE, async |call| call.load_one::<BookById>(id).await)
                    .await
            }
            _ => Ok(None),
        }
    }

    /// When it happened.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at.into()
    }
}

/// The subscriptions.
pub struct Subscription;

/// The subscriptions. Each event is executed by itself.
#[Subscription]
impl Subscription {
    /// Changes of books, whoever makes them, each once it is committed. Subscribe first and then read: what
    /// changes meanwhile comes as an event.
    async fn book_changed(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Only changes of these books (maximum 100).")] ids: Option<Vec<ID>>,
        #[graphql(
            desc = "Only changes of books that this author wrote, before the change or after."
        )]
        author_id: Option<ID>,
        #[graphql(desc = "Only changes of these kinds, and REFETCH.")] kinds: Option<
            Vec<ChangeKind>,
        >,
    ) -> Result<impl Stream<Item = BookChange> + use<>> {
        let event = resolve_subscription(context, || filter(ids, author_id, kinds)).await?;
        Ok(stream::iter(event.map(BookChange)))
    }
}

fn filter(
    ids: Option<Vec<ID>>,
    author: Option<ID>,
    kinds: Option<Vec<ChangeKind>>,
) -> Result<ChangeFilter> {
    if ids.as_ref().is_some_and(|ids| ids.len() as u64 > MAX_PAGE) {
        return Err(Error::invalid(["ids"], format!("must be at most {MAX_PAGE}")));
    }
    let book = |(i, id): (usize, ID)| {
        node::row::<Book>(&id, &i.to_string()).map_err(|error| error.with_path_prefix(["ids"]))
    };
    let ids = ids.map(|ids| ids.into_iter().enumerate().map(book).collect::<Result<HashSet<_>>>());
    let author = author.map(|id| node::row::<Author>(&id, "authorId"));
    let kinds = kinds.map(|kinds| kinds.into_iter().filter_map(ChangeKind::change).collect());
    Ok(ChangeFilter { ids: ids.transpose()?, author: author.transpose()?, kinds })
}
