//! The complexity of an operation: the number of fields that it resolves at most, where those of
//! a page count once for each item that is asked for.

use async_graphql::Value as ConstValue;

use crate::{
    catalog::pagination::{DEFAULT_PAGE, MAX_PAGE},
    config::limits::DocumentLimits,
    error::Result,
    graphql::execution::documents::{
        limits::within,
        merge::{Field, Paging, Selections},
        variables::VariableValues,
    },
};

impl DocumentLimits {
    /// Checks the complexity of an operation's fields.
    ///
    /// # Errors
    /// [`crate::error::Code::LimitExceeded`].
    pub fn check_complexity(&self, fields: &[Field], variables: &VariableValues) -> Result<()> {
        within("complexity", of_fields(fields, variables), self.max_complexity)
    }
}

fn of_fields(fields: &[Field], variables: &VariableValues) -> usize {
    fields.iter().fold(0, |sum, field| sum.saturating_add(of_field(field, variables)))
}

fn of_field(field: &Field, variables: &VariableValues) -> usize {
    let below = match &field.selections {
        Selections::Leaf => 0,
        Selections::Object(fields) => of_fields(fields, variables),
        // An object has one of the types.
        Selections::Abstract(types) => {
            types.iter().map(|(_, fields)| of_fields(fields, variables)).max().unwrap_or(0)
        }
    };
    below.saturating_mul(items(field, variables)).saturating_add(1)
}

/// The items that a field gives at most. A list without paging counts as one, whatever its length:
/// the authors of a book are few.
fn items(field: &Field, variables: &VariableValues) -> usize {
    let argument = |name: &str| field.argument(name, variables);
    let count = match field.paging {
        Paging::None => return 1,
        Paging::Ids => match argument("ids") {
            Some(ConstValue::List(ids)) => ids.len() as u64,
            _ => 1,
        },
        Paging::Slice => {
            let given = ["first", "last"].iter().find_map(|name| match argument(name) {
                Some(ConstValue::Number(number)) => Some(number.as_u64().unwrap_or(0)),
                _ => None,
            });
            given.unwrap_or(DEFAULT_PAGE)
        }
    };
    usize::try_from(count.min(MAX_PAGE)).unwrap_or(usize::MAX)
}
