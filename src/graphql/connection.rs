//! Relay connections over the catalog's pages.

use std::borrow::Cow;

use async_graphql::{
    ContainerType, Context, Object, TypeName,
    connection::{Connection, CursorType, Edge},
};

use crate::{
    catalog::pagination::{Cursor, Page},
    error::Result,
    graphql::{
        compat::resolve_inline::ResolveInline,
        context::{FieldContext, resolve_field},
    },
};

impl CursorType for Cursor {
    type Error = std::convert::Infallible;

    /// Never called: cursors are read by the catalog, which knows the list's order.
    fn decode_cursor(_: &str) -> std::result::Result<Self, Self::Error> {
        unreachable!("cursors are decoded by `PageArgs::from_relay`")
    }

    fn encode_cursor(&self) -> String {
        self.encode()
    }
}

/// The list that a page is of.
pub trait List: Send + Sync {
    /// The connection's type, which has the field `totalCount`.
    const CONNECTION: &'static str;

    /// Counts the items of the whole list.
    fn count(&self, call: &FieldContext) -> impl Future<Output = Result<u64>> + Send;
}

/// The field `totalCount` of a connection.
pub struct TotalCount<L>(L);

/// A part of the connection, under a name that the schema does not show.
impl<L: List> TypeName for TotalCount<L> {
    fn type_name() -> Cow<'static, str> {
        format!("{}TotalCount", L::CONNECTION).into()
    }
}

#[Object(name_type)]
impl<L: List> TotalCount<L> {
    /// The number of items in the whole list. Counted only when selected; in a large catalog
    /// it costs more than the page.
    async fn total_count(&self, context: &Context<'_>) -> Result<u64> {
        resolve_field(context, L::CONNECTION, async |call| self.0.count(&call).await).await
    }
}

/// The connection of a page of `list`.
#[must_use]
pub fn connection<T, U, L>(
    page: Page<T>,
    list: L,
) -> Connection<Cursor, ResolveInline<U>, TotalCount<L>>
where
    U: From<T> + ContainerType,
    L: List,
{
    let mut connection =
        Connection::with_additional_fields(page.has_previous, page.has_next, TotalCount(list));
    let edge = |(cursor, item)| Edge::new(cursor, ResolveInline(U::from(item)));
    connection.edges.extend(page.items.into_iter().map(edge));
    connection
}
