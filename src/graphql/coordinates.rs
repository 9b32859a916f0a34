//! What operations are called where a client's own names may not stand.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, Selection, SelectionSet,
};

use super::CatalogueSchema;
use crate::telemetry::runtime::watchdog;

/// The coordinates of the root fields, such as `Query.books`: a fixed set, so that they can name
/// tasks and label metrics where the client's own names cannot.
#[derive(Clone)]
pub struct Coordinates(HashMap<(String, String), &'static str>);

impl Coordinates {
    /// For an operation with several root fields, or none that the schema has.
    const MULTIPLE: &'static str = "_MULTIPLE";
    const OTHER: &'static str = "_OTHER";

    /// Asks the schema.
    pub async fn of(schema: &CatalogueSchema) -> Self {
        let query = "{ __schema { query: queryType { name fields { name } } \
                     mutation: mutationType { name fields { name } } } }";
        let data = schema.execute(query).await.data.into_json().unwrap_or_default();
        let mut coordinates = HashMap::new();
        for kind in ["query", "mutation"] {
            let root = &data["__schema"][kind];
            let ty = root["name"].as_str().unwrap_or_default();
            for field in root["fields"].as_array().into_iter().flatten() {
                let name = field["name"].as_str().unwrap_or_default();
                // Leaked once a start: a few dozen short strings.
                let coordinate: &'static str = format!("{ty}.{name}").leak();
                watchdog::start_counter(coordinate);
                coordinates.insert((kind.to_owned(), name.to_owned()), coordinate);
            }
        }
        Self(coordinates)
    }

    /// The coordinate of an operation's root field.
    #[must_use]
    pub fn of_operation(
        &self,
        operation: &OperationDefinition,
        document: &ExecutableDocument,
    ) -> &'static str {
        let mut names = HashSet::new();
        root_fields(&operation.selection_set.node, document, &mut names);
        let mut names = names.into_iter();
        match (names.next(), names.next()) {
            (Some(name), None) if name.starts_with("__") => "_INTROSPECTION",
            (Some(name), None) => {
                let key = (operation.ty.to_string(), name.to_owned());
                self.0.get(&key).copied().unwrap_or(Self::OTHER)
            }
            (Some(_), Some(_)) => Self::MULTIPLE,
            (None, _) => Self::OTHER,
        }
    }
}

/// Whether a document asks for the schema.
#[must_use]
pub fn introspects(document: &ExecutableDocument) -> bool {
    let mut names = HashSet::new();
    for (_, operation) in document.operations.iter() {
        root_fields(&operation.node.selection_set.node, document, &mut names);
    }
    names.contains("__schema") || names.contains("__type")
}

/// Collects the names of the fields of a root. Ends, since the guard refuses fragments that
/// contain themselves, and soon, since it limits what they expand to.
fn root_fields<'a>(
    set: &'a SelectionSet,
    document: &'a ExecutableDocument,
    names: &mut HashSet<&'a str>,
) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => {
                names.insert(&field.node.name.node);
            }
            Selection::InlineFragment(fragment) => {
                root_fields(&fragment.node.selection_set.node, document, names);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    root_fields(&fragment.node.selection_set.node, document, names);
                }
            }
        }
    }
}
