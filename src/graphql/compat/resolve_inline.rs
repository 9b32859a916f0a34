//! Objects whose fields do not wait. The library makes of each field of each object a boxed future in a set of
//! futures, so that fields that wait can wait together. The fields of a book or an author are read from a row; here
//! they are resolved one after the other, where they stand.

use std::borrow::Cow;

use async_graphql::{
    ContainerType, ContextSelectionSet, OutputType, Positioned, ServerResult, Value,
    indexmap::IndexMap,
    parser::types::{Field, Selection, SelectionSet},
    registry::Registry,
};

/// An object whose fields are resolved inline, unless several of its selected fields may have to wait.
#[derive(Clone)]
pub struct ResolveInline<T>(pub T);

impl<T> ResolveInline<T> {
    /// The object that `value` is made into.
    pub fn of(value: impl Into<T>) -> Self {
        Self(value.into())
    }
}

impl<T: ContainerType> OutputType for ResolveInline<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(
        &self,
        context: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let Self(object) = self;
        match fields(&context.item.node) {
            Some(fields) => resolve(object, context, fields).await,
            None => object.resolve(context, field).await,
        }
    }
}

/// As the library does it: a field that fails is left out, and its error reported.
async fn resolve<T: ContainerType>(
    object: &T,
    context: &ContextSelectionSet<'_>,
    fields: impl Iterator<Item = &Positioned<Field>> + Send,
) -> ServerResult<Value> {
    let mut values = IndexMap::with_capacity(context.item.node.items.len());
    for field in fields {
        let key = field.node.response_key().node.clone();
        let value = if field.node.name.node == "__typename" {
            Ok(Some(Value::String(object.introspection_type_name().into_owned())))
        } else {
            object.resolve_field(&context.with_field(field)).await
        };
        match value {
            Ok(value) => {
                values.insert(key, value.unwrap_or_default());
            }
            Err(error) => context.add_error(error),
        }
    }
    Ok(if values.is_empty() { Value::Null } else { Value::Object(values) })
}

/// The selected fields, if at most one of them can wait. Documents are merged: an object's selection
/// set has neither fragments nor directives, nor a response name twice.
fn fields(set: &SelectionSet) -> Option<impl Iterator<Item = &Positioned<Field>> + Send> {
    let fields = || set.items.iter().filter_map(field);
    let waits = |field: &&Positioned<Field>| {
        !field.node.arguments.is_empty() || !field.node.selection_set.node.items.is_empty()
    };
    (fields().filter(waits).count() <= 1).then(fields)
}

fn field(selection: &Positioned<Selection>) -> Option<&Positioned<Field>> {
    match &selection.node {
        Selection::Field(field) => Some(field),
        _ => None,
    }
}
