//! Completes responses as section 6.4 of the specification has them, by the merged fields of their operation:
//! fields in the order of the document, null for a failed one and for its nearest parent that may be null.

use std::{
    collections::HashSet,
    fmt::{Display, Write},
};

use apollo_compiler::ast::Type;
use async_graphql::{Name, PathSegment, Response, Value, indexmap::IndexMap};

use crate::graphql::execution::documents::{Field, Selections, TYPE_MARKER};

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

#[cfg(test)]
mod tests {
    use async_graphql::{Pos, ServerError};
    use serde_json::json;

    use super::*;
    use crate::graphql::execution::documents::tests::prepare;

    /// The data of a response to `query`, completed, as text: JSON values forget their order.
    fn completed(query: &str, data: serde_json::Value, errors: &[serde_json::Value]) -> String {
        let mut response = Response::new(Value::from_json(data).unwrap());
        for path in errors {
            let mut error = ServerError::new("", Some(Pos::default()));
            error.path = serde_json::from_value(path.clone()).unwrap();
            response.errors.push(error);
        }
        complete(&mut response, &prepare(query, json!({})).unwrap().merged.fields);
        serde_json::to_string(&response.data).unwrap()
    }

    #[test]
    fn lists_fields_in_document_order() {
        // `json!` sorts its keys.
        let book = json!({ "authors": [{ "id": "a", "name": "n" }], "id": 1, "title": "t" });
        assert_eq!(
            completed(
                "{ b: book(id: 1) { title authors { name id } ...F } a: __typename }
                 fragment F on Book { id }",
                json!({ "a": "Query", "b": book }),
                &[]
            ),
            r#"{"b":{"title":"t","authors":[{"name":"n","id":"a"}],"id":1},"a":"Query"}"#
        );
        let nodes = json!([
            { "": "Book", "id": 1, "title": "t" },
            { "": "Author" },
            null,
        ]);
        assert_eq!(
            completed(
                "{ nodes(ids: [1]) { ... on Book { title id } } }",
                json!({ "nodes": nodes }),
                &[]
            ),
            r#"{"nodes":[{"title":"t","id":1},{},null]}"#
        );
    }

    #[test]
    fn puts_null_where_a_field_failed_and_may_be_null() {
        let books = "{ books { totalCount nodes { id authors { name } } } a: __typename }";
        for (query, data, errors, expected) in [
            // Its object is null, since nothing is left of it.
            ("{ book(id: 1) { id } }", json!(null), json!([["book"]]), r#"{"book":null}"#),
            (
                "{ a: __typename book(id: 1) { id } }",
                json!({ "a": "Query" }),
                json!([["book"]]),
                r#"{"a":"Query","book":null}"#,
            ),
            (books, json!({ "a": "Query" }), json!([["books"]]), "null"),
            (
                books,
                json!({ "a": "Query", "books": { "totalCount": 1, "nodes": [{ "id": 1 }] } }),
                json!([["books", "nodes", 0, "authors"]]),
                "null",
            ),
            (
                "{ nodes(ids: [1]) { id ... on Book { authors { name } } } }",
                json!({ "nodes": [{ "": "Book", "id": 1 }, { "": "Author", "id": 2 }] }),
                json!([["nodes", 0, "authors"]]),
                r#"{"nodes":[null,{"id":2}]}"#,
            ),
            (
                "{ book(id: 1) { authors { name } } a: __typename }",
                json!({ "a": "Query", "book": null }),
                json!([["book", "authors"]]),
                r#"{"book":null,"a":"Query"}"#,
            ),
            (
                "{ book(id: 1) { pages id } a: __typename }",
                json!({ "a": "Query", "book": { "id": 1 } }),
                json!([["book", "pages"]]),
                r#"{"book":{"pages":null,"id":1},"a":"Query"}"#,
            ),
            // All its fields failed, but it is not null.
            (
                "{ book(id: 1) { pages } a: __typename }",
                json!({ "a": "Query", "book": null }),
                json!([["book", "pages"]]),
                r#"{"book":{"pages":null},"a":"Query"}"#,
            ),
        ] {
            let errors = errors.as_array().unwrap();
            assert_eq!(completed(query, data, errors), expected, "{query} {errors:?}");
        }
    }
}
