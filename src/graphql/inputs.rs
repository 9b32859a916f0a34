//! Inputs that the inputs of any entity are made of.

use async_graphql::{Enum, InputObject, MaybeUndefined};
use chrono::{DateTime, Utc};

use crate::catalog::{filter::Range, validation::Patch};

/// A sort direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum OrderDirection {
    /// Ascending.
    Asc,
    /// Descending.
    Desc,
}

/// An inclusive range of integers; a bound that is left out is open.
#[derive(Clone, Copy, Debug, InputObject)]
pub struct IntRange {
    /// The minimum.
    pub min: Option<i32>,
    /// The maximum.
    pub max: Option<i32>,
}

/// An inclusive range of times; a bound that is left out is open.
#[derive(Clone, Copy, Debug, InputObject)]
pub struct DateTimeRange {
    /// The first.
    pub from: Option<DateTime<Utc>>,
    /// The last.
    pub to: Option<DateTime<Utc>>,
}

impl From<IntRange> for Range<i32> {
    fn from(range: IntRange) -> Self {
        Self { min: range.min, max: range.max }
    }
}

impl From<DateTimeRange> for Range<DateTime<Utc>> {
    fn from(range: DateTimeRange) -> Self {
        Self { min: range.from, max: range.to }
    }
}

/// The change that a field of an input is.
pub fn patch<T>(value: MaybeUndefined<T>) -> Patch<T> {
    match value {
        MaybeUndefined::Undefined => Patch::Keep,
        MaybeUndefined::Null => Patch::Clear,
        MaybeUndefined::Value(value) => Patch::Set(value),
    }
}
