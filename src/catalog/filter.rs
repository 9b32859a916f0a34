//! Conditions that lists of any entity have.

use sea_orm::sea_query::{Condition, Expr, ExprTrait, IntoColumnRef, LikeExpr};

use crate::catalog::text;

/// An inclusive range; an end that is not given is open.
#[derive(Clone, Copy, Debug)]
pub struct Range<T> {
    /// The least value.
    pub min: Option<T>,
    /// The greatest value.
    pub max: Option<T>,
}

impl<T> Default for Range<T> {
    fn default() -> Self {
        Self { min: None, max: None }
    }
}

/// The condition that a column, in normal form, contains `part`, whatever its case, accents and special letters.
pub fn contains(column: impl IntoColumnRef, part: &str) -> Expr {
    let mut pattern = String::from("%");
    for c in text::fold(part).chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    Expr::col(column).like(LikeExpr::new(pattern).escape('\\'))
}

/// Adds the condition that a value lies in a range.
pub fn within<T>(mut all: Condition, value: &Expr, range: Range<T>) -> Condition
where
    T: Into<Expr>,
{
    if let Some(min) = range.min {
        all = all.add(value.clone().gte(min));
    }
    if let Some(max) = range.max {
        all = all.add(value.clone().lte(max));
    }
    all
}
