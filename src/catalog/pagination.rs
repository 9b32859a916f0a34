//! Keyset pagination: a cursor names the place of a row in an ordering, and a page
//! is what follows (or precedes) that place. It stays right while rows come and go,
//! and page 10,000 costs what page 1 costs.

mod cursor;

use chrono::{DateTime, Utc};
use sea_orm::{
    DbBackend, Order, Statement, Value,
    sea_query::{Expr, ExprTrait, PostgresQueryBuilder, SelectStatement},
};

pub use self::cursor::{Cursor, Key};
use crate::error::{Error, Result};

/// The most items a page may have.
pub const MAX_PAGE: u64 = 100;
/// The items of a page when the client does not say.
pub const DEFAULT_PAGE: u64 = 20;

/// Which part of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageArgs {
    /// The number of items, 0 to [`MAX_PAGE`].
    pub limit: u64,
    /// Counted from the end of the list.
    pub backward: bool,
    /// Where the last page ended: after it, or before it when going backward.
    pub from: Option<Cursor>,
}

impl PageArgs {
    /// The first `limit` items.
    #[must_use]
    pub const fn first(limit: u64) -> Self {
        Self { limit, backward: false, from: None }
    }

    /// Reads Relay's four arguments for a list in the ordering named `ordering`. An empty cursor is
    /// none, as some clients send it for the first page.
    ///
    /// # Errors
    /// [`Error::Invalid`], with every argument that is out of range, contradicts another, or is
    /// no cursor of this ordering.
    pub fn from_relay(
        (first, after): (Option<i32>, Option<String>),
        (last, before): (Option<i32>, Option<String>),
        ordering: &str,
    ) -> Result<Self> {
        let [after, before] = [after, before].map(|it| it.filter(|cursor| !cursor.is_empty()));
        let backward = last.is_some() || before.is_some();
        if backward && (first.is_some() || after.is_some()) {
            return Err(Error::invalid(
                [if last.is_some() { "last" } else { "before" }],
                "cannot be combined with first or after: page either forward or backward",
            ));
        }
        let (count, cursor, names) = if backward {
            (last, before, ("last", "before"))
        } else {
            (first, after, ("first", "after"))
        };
        let limit = page_size(count, names.0)?;
        let from = cursor.map(|text| Cursor::decode(&text, ordering, names.1)).transpose()?;
        Ok(Self { limit, backward, from })
    }
}

fn page_size(count: Option<i32>, argument: &str) -> Result<u64> {
    let Some(count) = count else { return Ok(DEFAULT_PAGE) };
    u64::try_from(count).ok().filter(|count| *count <= MAX_PAGE).ok_or_else(|| {
        Error::invalid([argument], format!("must be between 0 and {MAX_PAGE}, not {count}"))
    })
}

/// A part of a list, in the list's order.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items, each with its place.
    pub items: Vec<(Cursor, T)>,
    /// Whether the list continues after the last item.
    pub has_next: bool,
    /// Whether the list has items before the first.
    pub has_previous: bool,
}

impl<T> Default for Page<T> {
    /// The page of an empty list.
    fn default() -> Self {
        Self { items: Vec::new(), has_next: false, has_previous: false }
    }
}

impl<T> Page<T> {
    /// A page of `rows`, which were read in the page's direction with one row more than
    /// its limit, to learn whether there are more.
    pub fn new(mut rows: Vec<T>, args: &PageArgs, cursor: impl Fn(&T) -> Cursor) -> Self {
        let more = rows.len() as u64 > args.limit;
        rows.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
        if args.backward {
            rows.reverse();
        }
        let (has_next, has_previous) =
            if args.backward { (args.from.is_some(), more) } else { (more, args.from.is_some()) };
        let items = rows.into_iter().map(|row| (cursor(&row), row)).collect();
        Self { items, has_next, has_previous }
    }

    /// The same page of other items.
    pub fn map<U>(self, item: impl Fn(T) -> U) -> Page<U> {
        let items = self.items.into_iter().map(|(cursor, value)| (cursor, item(value))).collect();
        Page { items, has_next: self.has_next, has_previous: self.has_previous }
    }
}

/// An order of rows that a list can be read in: by an expression, then by id.
pub trait SortOrder {
    /// The name in cursors.
    fn name(&self) -> &str;
    /// The expression sorted by, or none for the id alone.
    fn expr(&self) -> Option<Expr>;
    /// The id that breaks ties.
    fn id(&self) -> Expr;
    /// Descending.
    fn descending(&self) -> bool;
    /// What `key` is in SQL.
    fn value(&self, key: &Key) -> Value;

    /// The `ORDER BY` terms for `args`, in order.
    fn terms(&self, args: &PageArgs) -> (Vec<Expr>, Order) {
        let order = if self.descending() == args.backward { Order::Asc } else { Order::Desc };
        (self.expr().into_iter().chain([self.id()]).collect(), order)
    }

    /// The condition that a row lies behind the page's cursor, if it has one.
    ///
    /// A row-value comparison, which PostgreSQL answers from the ordering's index. SQLite does
    /// so only where the row begins with a plain column; for an expression it would read the index
    /// from its start, hence the second condition, which follows from the first.
    fn seek_predicate(&self, args: &PageArgs) -> Option<Expr> {
        let cursor = args.from.as_ref()?;
        let ascending = self.descending() == args.backward;
        let Some(expr) = self.expr() else {
            return Some(if ascending { self.id().gt(cursor.id) } else { self.id().lt(cursor.id) });
        };
        let value = || Expr::val(self.value(&cursor.key));
        let row = Expr::tuple([expr.clone(), self.id()]);
        let place = Expr::tuple([value(), cursor.id.into()]);
        Some(if ascending {
            row.gt(place).and(expr.gte(value()))
        } else {
            row.lt(place).and(expr.lte(value()))
        })
    }

    /// Restricts `select` to what the page is the beginning of, in the page's direction.
    fn apply(&self, select: &mut SelectStatement, args: &PageArgs) {
        if let Some(condition) = self.seek_predicate(args) {
            select.and_where(condition);
        }
        let (terms, order) = self.terms(args);
        for term in terms {
            select.order_by_expr(term, order.clone());
        }
    }

    /// Reads the page's rows of `select`, and one more.
    fn page(
        &self,
        backend: DbBackend,
        mut select: SelectStatement,
        args: &PageArgs,
        is_filtered: bool,
    ) -> Statement {
        self.apply(&mut select, args);
        if backend != DbBackend::Postgres || is_filtered {
            return backend.build(select.limit(args.limit + 1));
        }
        // A limit that PostgreSQL does not know makes it plan each execution anew, which takes a
        // third of the time of the page. So it gets the greatest limit as a literal. A subquery keeps its
        // order. With a filter, the plan has to depend on the values.
        let (sql, mut values) = select.build(PostgresQueryBuilder);
        values.0.push((args.limit + 1).into());
        let (most, limit) = (MAX_PAGE + 1, values.0.len());
        let sql = format!("SELECT * FROM ({sql} LIMIT {most}) AS page LIMIT ${limit}");
        Statement::from_sql_and_values(backend, sql, values)
    }
}

/// The SQL value of a time that is [`Key::Number`] in a cursor.
#[must_use]
pub fn time_value(micros: i64) -> Value {
    DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_paging_in_both_directions() {
        let args = |first, last| PageArgs::from_relay((first, None), (last, None), "title");
        assert_eq!(args(None, None).unwrap(), PageArgs::first(DEFAULT_PAGE));
        assert!(args(None, Some(3)).unwrap().backward);
        for (first, last) in [(Some(1), Some(1)), (Some(101), None), (None, Some(-1))] {
            assert!(args(first, last).is_err());
        }
    }
}
