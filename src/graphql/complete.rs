//! Responses as section 6.4 of the specification has them.
//!
//! async-graphql 7.2 lists fields as they finish and not in the order of the document, leaves a
//! failed field out of its object instead of making it null (its pull request 1746), and responds
//! with null for an object of which no field is left. Here the data is put right by the merged
//! fields of its operation. Version 8 lists fields in order again.

use std::{
    collections::HashSet,
    fmt::{Display, Write},
};

use apollo_compiler::ast::Type;
use async_graphql::{Name, PathSegment, Response, Value, indexmap::IndexMap};

use super::documents::{Field, Selections, TYPE_MARKER};

/// Completes the response to an operation with these root fields.
pub fn complete(response: &mut Response, fields: &[Field]) {
    let Response { data, errors, .. } = response;
    if errors.iter().all(|error| error.path.is_empty()) {
        order_object(data, fields);
        return;
    }
    let mut failed_below = HashSet::new();
    for error in errors {
        let mut path = String::new();
        for segment in &error.path {
            failed_below.insert(path.clone());
            match segment {
                PathSegment::Field(key) => push(&mut path, key),
                PathSegment::Index(index) => push(&mut path, index),
            }
        }
    }
    let mut completion = Completion { failed_below, path: String::new() };
    *data = completion.object(std::mem::take(data), fields).unwrap_or_default();
}

/// Puts the fields of a value without errors into order.
fn order(value: &mut Value, selections: &Selections) {
    match (value, selections) {
        (Value::List(items), _) => items.iter_mut().for_each(|item| order(item, selections)),
        (value @ Value::Object(_), Selections::Object(fields)) => order_object(value, fields),
        (value @ Value::Object(_), Selections::Abstract(types)) => {
            let fields = fields_of_type(value, types);
            order_object(value, fields);
        }
        _ => {}
    }
}

/// The fields that are selected of an object, by its type.
fn fields_of_type<'a>(object: &Value, types: &'a [(Name, Vec<Field>)]) -> &'a [Field] {
    let Value::Object(object) = object else { return &[] };
    let Some(Value::String(name)) = object.get(TYPE_MARKER) else { return &[] };
    types.iter().find(|(known, _)| known == name).map_or(&[], |(_, fields)| fields)
}

fn order_object(value: &mut Value, fields: &[Field]) {
    let Value::Object(object) = value else { return };
    for (place, field) in fields.iter().enumerate() {
        // Most are in place already, which is seen without a hash of the key.
        if object.get_index(place).is_none_or(|(found, _)| *found != field.key) {
            let Some(found) = object.get_index_of(&field.key) else { continue };
            object.move_index(found, place);
        }
        if !matches!(field.selections, Selections::Leaf)
            && let Some((_, value)) = object.get_index_mut(place)
        {
            order(value, &field.selections);
        }
    }
    // What is left is the marker of the type.
    object.truncate(fields.len());
}

/// Completes data with errors.
struct Completion {
    /// The paths below which something failed.
    failed_below: HashSet<String>,
    /// Where the value is that is completed, such as `/books/nodes/3`.
    path: String,
}

fn push(path: &mut String, segment: impl Display) {
    path.push('/');
    // Writing to a string does not fail.
    let _ = write!(path, "{segment}");
}

/// A null where it may not be: it makes the parent null.
struct NotNullable;

impl Completion {
    /// Completes a part of the value.
    fn at<T>(&mut self, segment: impl Display, complete: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        push(&mut self.path, segment);
        let completed = complete(self);
        self.path.truncate(length);
        completed
    }

    fn value(
        &mut self,
        value: Value,
        ty: &Type,
        selections: &Selections,
    ) -> Result<Value, NotNullable> {
        let completed = match value {
            Value::List(items) if ty.is_list() => self.list(items, ty.item_type(), selections),
            // An object all of whose fields failed.
            Value::Null if self.failed_below.contains(&self.path) => match selections {
                Selections::Object(fields) if !ty.is_list() => self.object(Value::Null, fields),
                _ => Ok(Value::Null),
            },
            Value::Object(_) => match selections {
                Selections::Object(fields) => self.object(value, fields),
                Selections::Abstract(types) => {
                    let fields = fields_of_type(&value, types);
                    self.object(value, fields)
                }
                Selections::Leaf => Ok(value),
            },
            value => Ok(value),
        };
        let completed = completed.unwrap_or_default();
        if completed == Value::Null && ty.is_non_null() { Err(NotNullable) } else { Ok(completed) }
    }

    fn list(
        &mut self,
        items: Vec<Value>,
        ty: &Type,
        selections: &Selections,
    ) -> Result<Value, NotNullable> {
        let items = items.into_iter().enumerate().map(|(index, item)| {
            self.at(index, |completion| completion.value(item, ty, selections))
        });
        Ok(Value::List(items.collect::<Result<_, _>>()?))
    }

    fn object(&mut self, value: Value, fields: &[Field]) -> Result<Value, NotNullable> {
        let mut given = if let Value::Object(given) = value { given } else { IndexMap::new() };
        let mut completed = IndexMap::with_capacity(fields.len());
        for field in fields {
            // One that is not there has failed.
            let value = given.swap_remove(&field.key).unwrap_or_default();
            let value = self
                .at(&field.key, |completion| completion.value(value, &field.ty, &field.selections));
            completed.insert(field.key.clone(), value?);
        }
        Ok(Value::Object(completed))
    }
}
