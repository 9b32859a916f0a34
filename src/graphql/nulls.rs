//! Null where a field failed.
//!
//! GraphQL answers a failed field with null, or, where the field may not be null, its nearest
//! ancestor that may (October 2021 specification, 6.4.4). async-graphql 7.2 leaves a failed
//! field out of its object instead, whatever its type (its pull request 1746). So answers with
//! errors, and only those, are put right here, by the types of the schema.

use std::collections::HashMap;

use async_graphql::{
    Name, PathSegment, Response, Value,
    parser::types::{ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet},
};
use serde_json::Value as Json;

use super::CatalogueSchema;

/// The type of a field, as far as null goes.
#[derive(Clone, Debug)]
enum Shape {
    Named { name: String, nullable: bool },
    List { item: Box<Self>, nullable: bool },
}

impl Shape {
    const fn nullable(&self) -> bool {
        match self {
            Self::Named { nullable, .. } | Self::List { nullable, .. } => *nullable,
        }
    }

    /// The name of the type inside all lists.
    fn name(&self) -> &str {
        match self {
            Self::Named { name, .. } => name,
            Self::List { item, .. } => item.name(),
        }
    }

    /// Reads a type as introspection tells it.
    fn read(ty: &Json, nullable: bool) -> Self {
        match ty["kind"].as_str() {
            Some("NON_NULL") => Self::read(&ty["ofType"], false),
            Some("LIST") => {
                Self::List { item: Box::new(Self::read(&ty["ofType"], true)), nullable }
            }
            _ => Self::Named { name: ty["name"].as_str().unwrap_or_default().into(), nullable },
        }
    }
}

const INTROSPECTION: &str = "{ __schema { types { name fields { name type {
    kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";

/// The types of all fields of the schema.
#[derive(Clone, Debug, Default)]
pub struct Shapes(HashMap<String, HashMap<String, Shape>>);

impl Shapes {
    /// Asks the schema.
    pub async fn of(schema: &CatalogueSchema) -> Self {
        let answer = schema.execute(INTROSPECTION).await;
        let data = answer.data.into_json().unwrap_or_default();
        let mut shapes: HashMap<String, HashMap<String, Shape>> = HashMap::new();
        for ty in data["__schema"]["types"].as_array().into_iter().flatten() {
            let fields = shapes.entry(ty["name"].as_str().unwrap_or_default().into()).or_default();
            for field in ty["fields"].as_array().into_iter().flatten() {
                let name = field["name"].as_str().unwrap_or_default().to_owned();
                fields.insert(name, Shape::read(&field["type"], true));
            }
        }
        Self(shapes)
    }

    /// Puts null into `response` for each of its errors that has a path.
    pub fn propagate(
        &self,
        response: &mut Response,
        root: &str,
        operation: &OperationDefinition,
        document: &ExecutableDocument,
    ) {
        for error in &response.errors {
            if !error.path.is_empty() {
                let depth = self.nullable_depth(&error.path, root, operation, document);
                put_null(&mut response.data, &error.path[..depth]);
            }
        }
    }

    /// How much of `path` leads to the innermost value that may be null. Nothing of it leads to
    /// the data itself, which always may.
    fn nullable_depth(
        &self,
        path: &[PathSegment],
        root: &str,
        operation: &OperationDefinition,
        document: &ExecutableDocument,
    ) -> usize {
        let mut sets = vec![(root.to_owned(), &operation.selection_set.node)];
        let mut shape = None;
        let mut depth = 0;
        for (i, segment) in path.iter().enumerate() {
            shape = match (segment, shape) {
                (PathSegment::Index(_), Some(Shape::List { item, .. })) => Some(*item),
                (PathSegment::Field(key), _) => {
                    let mut fields = Vec::new();
                    for (ty, set) in &sets {
                        select(key, ty, set, document, &mut fields);
                    }
                    // Fields that share a key have the same shape, or validation refuses them.
                    let shape = fields.iter().find_map(|(ty, field)| {
                        self.0.get(ty)?.get(field.name.node.as_str()).cloned()
                    });
                    let name = shape.as_ref().map_or("", Shape::name);
                    sets = fields
                        .into_iter()
                        .map(|(_, field)| (name.to_owned(), &field.selection_set.node))
                        .collect();
                    shape
                }
                _ => None,
            };
            match &shape {
                Some(shape) if shape.nullable() => depth = i + 1,
                Some(_) => {}
                None => return depth,
            }
        }
        depth
    }
}

/// Collects the fields that answer under `key`, each with the type it is selected on.
fn select<'a>(
    key: &str,
    ty: &str,
    set: &'a SelectionSet,
    document: &'a ExecutableDocument,
    fields: &mut Vec<(String, &'a Field)>,
) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) if field.node.response_key().node == key => {
                fields.push((ty.to_owned(), &field.node));
            }
            Selection::Field(_) => {}
            Selection::InlineFragment(fragment) => {
                let condition = fragment.node.type_condition.as_ref();
                let ty = condition.map_or(ty, |condition| condition.node.on.node.as_str());
                select(key, ty, &fragment.node.selection_set.node, document, fields);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    let ty = fragment.node.type_condition.node.on.node.as_str();
                    select(key, ty, &fragment.node.selection_set.node, document, fields);
                }
            }
        }
    }
}

/// Sets the value at `path` to null, if the path is still there.
fn put_null(value: &mut Value, path: &[PathSegment]) {
    let Some((segment, rest)) = path.split_first() else {
        *value = Value::Null;
        return;
    };
    match (value, segment) {
        (Value::Object(object), PathSegment::Field(key)) => {
            put_null(object.entry(Name::new(key)).or_insert(Value::Null), rest);
        }
        (Value::List(list), PathSegment::Index(index)) => {
            if let Some(item) = list.get_mut(*index) {
                put_null(item, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::{parse_query, types::DocumentOperations};
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema, ServerError};
    use serde_json::json;

    use super::*;

    fn shapes() -> Shapes {
        let named = |name: &str, nullable| Shape::Named { name: name.into(), nullable };
        let list = |item| Shape::List { item: Box::new(item), nullable: false };
        let fields = |fields: Vec<(&str, Shape)>| {
            fields.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect()
        };
        Shapes(HashMap::from([
            (
                "Query".to_owned(),
                fields(vec![
                    ("maybe", named("Item", true)),
                    ("sure", named("Item", false)),
                    ("maybes", list(named("Item", true))),
                ]),
            ),
            ("Item".to_owned(), fields(vec![("item", named("Item", false))])),
        ]))
    }

    fn propagated(query: &str, data: Json, path: Json) -> Json {
        let document = parse_query(query).unwrap();
        let DocumentOperations::Single(operation) = &document.operations else { panic!() };
        let mut error = ServerError::new("", None);
        error.path = serde_json::from_value(path).unwrap();
        let mut response = Response::new(Value::from_json(data).unwrap());
        response.errors.push(error);
        shapes().propagate(&mut response, "Query", &operation.node, &document);
        response.data.into_json().unwrap()
    }

    #[test]
    fn null_stands_at_the_nearest_place_that_may_be_null() {
        for (query, data, path, expected) in [
            ("{ a: maybe { item } }", json!({}), json!(["a"]), json!({ "a": null })),
            (
                "{ maybe { b: item } }",
                json!({ "maybe": {} }),
                json!(["maybe", "b"]),
                json!({ "maybe": null }),
            ),
            ("{ sure { item } }", json!({ "sure": {} }), json!(["sure", "item"]), json!(null)),
            (
                "{ maybe { ...f } } fragment f on Item { ... on Item { item { item } } }",
                json!({ "maybe": { "item": {} } }),
                json!(["maybe", "item", "item"]),
                json!({ "maybe": null }),
            ),
            (
                "{ maybes { item } }",
                json!({ "maybes": [{ "item": 1 }, {}] }),
                json!(["maybes", 1, "item"]),
                json!({ "maybes": [{ "item": 1 }, null] }),
            ),
        ] {
            assert_eq!(propagated(query, data, path), expected, "{query}");
        }
    }

    /// If this fails, the library has learnt it, and this file can go.
    #[tokio::test]
    async fn the_library_still_leaves_failed_fields_out() {
        struct Query;
        #[Object]
        #[expect(clippy::unused_async, reason = "the macro wants it")]
        impl Query {
            async fn good(&self) -> i32 {
                1
            }
            async fn bad(&self) -> Result<Option<i32>, crate::error::Error> {
                Err(crate::error::Error::NotFound("it".into()))
            }
        }
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let data = schema.execute("{ good bad }").await.data;
        assert_eq!(data.into_json().unwrap(), json!({ "good": 1 }));
    }
}
