//! Fields in the order of the document.
//!
//! A GraphQL answer lists its fields as the document does (October 2021 specification, 7.2.2).
//! async-graphql 7.2 lists them as they finish, so that the order of those that wait for the
//! database changes from answer to answer.

use async_graphql::{
    Name, Value,
    parser::types::{ExecutableDocument, Selection, SelectionSet},
};

/// The keys of an object and of the objects in it, in the order of the document.
///
/// Fragments are seen through whatever their type: where two of them name the same keys in
/// different orders, the first one's order is everybody's.
#[derive(Debug, Default)]
pub struct Arrangement(Vec<(Name, Self)>);

impl Arrangement {
    /// The arrangement of a selection set. Ends, and soon: the guard has limited what its
    /// fragments expand to.
    #[must_use]
    pub fn of(set: &SelectionSet, document: &ExecutableDocument) -> Self {
        let mut arrangement = Self::default();
        arrangement.collect(set, document);
        arrangement
    }

    fn collect(&mut self, set: &SelectionSet, document: &ExecutableDocument) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let key = &field.node.response_key().node;
                    self.below(key).collect(&field.node.selection_set.node, document);
                }
                Selection::InlineFragment(fragment) => {
                    self.collect(&fragment.node.selection_set.node, document);
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = document.fragments.get(&spread.node.fragment_name.node);
                    if let Some(fragment) = fragment {
                        self.collect(&fragment.node.selection_set.node, document);
                    }
                }
            }
        }
    }

    fn below(&mut self, key: &Name) -> &mut Self {
        let at = self.0.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
            self.0.push((key.clone(), Self::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// Puts the fields of `value` into order.
    pub fn apply(&self, value: &mut Value) {
        match value {
            Value::List(items) => items.iter_mut().for_each(|item| self.apply(item)),
            Value::Object(object) => {
                let mut place = 0;
                for (key, below) in &self.0 {
                    // Most are there already, which is seen without a hash of the key.
                    if object.get_index(place).is_none_or(|(found, _)| found != key) {
                        let Some(at) = object.get_index_of(key) else { continue };
                        object.move_index(at, place);
                    }
                    if !below.0.is_empty()
                        && let Some((_, value)) = object.get_index_mut(place)
                    {
                        below.apply(value);
                    }
                    place += 1;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::{parse_query, types::DocumentOperations};
    use serde_json::json;

    use super::*;

    fn arranged(query: &str, data: serde_json::Value) -> String {
        let document = parse_query(query).unwrap();
        let DocumentOperations::Single(operation) = &document.operations else { panic!() };
        let arrangement = Arrangement::of(&operation.node.selection_set.node, &document);
        let mut value = Value::from_json(data).unwrap();
        arrangement.apply(&mut value);
        serde_json::to_string(&value).unwrap()
    }

    #[test]
    fn fields_follow_the_document_through_lists_aliases_and_fragments() {
        let query = "{ z: b { y { d } ...F ... on B { a } y { c } } a }
            fragment F on B { x }";
        // `json!` sorts its keys.
        let data = json!({ "a": 1, "z": [{ "a": 2, "x": 3, "y": { "c": 4, "d": 5 } }, null] });
        assert_eq!(arranged(query, data), r#"{"z":[{"y":{"d":5,"c":4},"x":3,"a":2},null],"a":1}"#);
    }

    #[test]
    fn what_is_absent_is_passed_over() {
        assert_eq!(arranged("{ c b a }", json!({ "a": 1, "c": 2 })), r#"{"c":2,"a":1}"#);
    }
}
