//! Documents that were seen before: they need not be parsed again, nor validated again where
//! nothing depends on the values of their variables.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_graphql::parser::types::{
    BaseType, DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Type,
};
use quick_cache::{Weighter, sync::Cache};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::arrange::Arrangement;
use crate::error::{Code, Error};

/// Bytes of text of all documents that are remembered. A document takes some twenty times as much
/// as its text.
const REMEMBERED_TEXT: u64 = 512 * 1024;
/// Documents, for the cache to begin with.
const USUAL_DOCUMENTS: usize = 256;

/// A document that passed the guard and the parser.
pub struct Document {
    /// As the parser read it.
    pub parsed: ExecutableDocument,
    /// Of its text, as persisted documents have it.
    pub hash: String,
    /// Its text without literals.
    pub redacted: String,
    operations: HashMap<Option<String>, Operation>,
}

/// One of a document's operations.
pub struct Operation {
    /// Query or mutation.
    pub kind: OperationType,
    /// The coordinate of its root field.
    pub root_field: &'static str,
    /// The order of the fields of its answer.
    pub arrangement: Arc<Arrangement>,
    /// Whether it passed validation, with whatever variables.
    valid: AtomicBool,
    variables: Vec<Variable>,
}

/// A variable that an operation declares.
struct Variable {
    name: String,
    ty: Type,
    has_default: bool,
}

impl Document {
    /// Takes a document apart. `root_field` finds the coordinate of an operation's root field.
    pub fn new(
        text: &str,
        parsed: ExecutableDocument,
        root_field: impl Fn(&OperationDefinition, &ExecutableDocument) -> &'static str,
    ) -> Self {
        let operation = |definition: &OperationDefinition| Operation {
            kind: definition.ty,
            root_field: root_field(definition, &parsed),
            arrangement: Arc::new(Arrangement::of(&definition.selection_set.node, &parsed)),
            valid: AtomicBool::new(false),
            variables: definition
                .variable_definitions
                .iter()
                .map(|v| Variable {
                    name: v.node.name.node.to_string(),
                    ty: v.node.var_type.node.clone(),
                    has_default: v.node.default_value.is_some(),
                })
                .collect(),
        };
        let operations = match &parsed.operations {
            DocumentOperations::Single(only) => [(None, operation(&only.node))].into(),
            DocumentOperations::Multiple(several) => several
                .iter()
                .map(|(name, definition)| (Some(name.to_string()), operation(&definition.node)))
                .collect(),
        };
        Self { hash: hash(text), redacted: without_literals(text), operations, parsed }
    }

    /// The operation to run, with its name: the one named, or the only one.
    ///
    /// # Errors
    /// If there is none of that name, or there are several and none was named.
    pub fn operation(&self, name: Option<&str>) -> Result<(Option<&str>, &Operation), Error> {
        let refused = |message: &str| {
            Err(Error::Client(Code::OperationResolutionFailure, message.to_owned()))
        };
        if let Some(name) = name {
            return match self.operations.get_key_value(&Some(name.to_owned())) {
                Some((name, operation)) => Ok((name.as_deref(), operation)),
                None => refused("The document has no operation of that name."),
            };
        }
        let mut all = self.operations.iter();
        match (all.next(), all.next()) {
            (Some((name, operation)), None) => Ok((name.as_deref(), operation)),
            _ => refused("The document has several operations: name one."),
        }
    }
}

impl Operation {
    /// Notes that it passed validation.
    pub fn is_valid(&self) {
        self.valid.store(true, Ordering::Relaxed);
    }

    /// Whether it is sure to pass validation with these variables: it passed before, and the
    /// values are what the types of the variables, all of them scalars of GraphQL's own, take.
    /// About other types only validation can tell.
    #[must_use]
    pub fn is_sure_to_be_valid(&self, variables: &Map<String, Value>) -> bool {
        self.valid.load(Ordering::Relaxed)
            && self.variables.iter().all(|variable| match variables.get(&variable.name) {
                Some(value) => takes(&variable.ty, value),
                None => variable.ty.nullable || variable.has_default,
            })
    }
}

fn takes(ty: &Type, value: &Value) -> bool {
    if value.is_null() {
        return ty.nullable;
    }
    match &ty.base {
        BaseType::List(item) => {
            value.as_array().is_some_and(|items| items.iter().all(|value| takes(item, value)))
        }
        BaseType::Named(name) => match name.as_str() {
            "ID" | "String" => value.is_string(),
            "Boolean" => value.is_boolean(),
            "Int" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            "Float" => value.is_f64(),
            _ => false,
        },
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hash, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hash, "{byte:02x}");
        hash
    })
}

/// A document's text without its literals and comments, which may hold what is nobody's business.
#[must_use]
pub fn without_literals(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                kept.push_str("\"\"");
                string_length(rest)
            }
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '-' | '0'..='9' => {
                kept.push('0');
                length_while(rest, |c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            }
            c if c == '_' || c.is_alphabetic() => {
                let length = length_while(rest, |c| c == '_' || c.is_alphanumeric());
                kept.push_str(&rest[..length]);
                length
            }
            other => {
                kept.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    kept
}

fn length_while(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// The length of the string or block string that `text` begins with.
fn string_length(text: &str) -> usize {
    let quotes = if text.starts_with("\"\"\"") { 3 } else { 1 };
    let mut at = quotes;
    while at < text.len() {
        if text[at..].starts_with('\\') {
            // The character behind it ends nothing.
            at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8);
        } else if text[at..].starts_with(&"\"\"\""[..quotes]) {
            return at + quotes;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The documents that were seen lately, by their text.
#[derive(Clone)]
pub struct Documents(Arc<Cache<String, Arc<Document>, ByText>>);

#[derive(Clone)]
struct ByText;

impl Weighter<String, Arc<Document>> for ByText {
    fn weight(&self, text: &String, _: &Arc<Document>) -> u64 {
        text.len() as u64
    }
}

impl Default for Documents {
    fn default() -> Self {
        Self(Arc::new(Cache::with_weighter(USUAL_DOCUMENTS, REMEMBERED_TEXT, ByText)))
    }
}

impl Documents {
    /// The document of this text, if it is known.
    #[must_use]
    pub fn get(&self, text: &str) -> Option<Arc<Document>> {
        self.0.get(text)
    }

    /// Remembers a document.
    pub fn insert(&self, text: &str, document: &Arc<Document>) {
        self.0.insert(text.to_owned(), document.clone());
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;

    fn document(text: &str) -> Document {
        Document::new(text, parse_query(text).unwrap(), |_, _| "Query.x")
    }

    #[test]
    fn operations_are_found_by_name() {
        let one = document("query A { a }");
        assert_eq!(one.operation(None).unwrap().0, Some("A"));
        assert_eq!(one.operation(Some("A")).unwrap().0, Some("A"));
        assert!(one.operation(Some("B")).is_err());
        assert_eq!(document("{ a }").operation(None).unwrap().0, None);
        assert!(document("query A { a } query B { b }").operation(None).is_err());
    }

    #[test]
    fn literals_and_comments_are_left_out() {
        let text = "query Q($a1: Int = -1.5e3) { # s3cret\n x(a: $a1, b: \"s3\\\"cret\", \
                    c: [1, 22], d: \"\"\"s3\"cret\\\"\"\" \"\"\", e: TITLE, f: true) }";
        let kept = "query Q($a1: Int = 0) { \n x(a: $a1, b: \"\", \
                    c: [0, 0], d: \"\", e: TITLE, f: true) }";
        assert_eq!(without_literals(text), kept);
        assert_eq!(without_literals("{ a(b: \"unended s3cret\\"), "{ a(b: \"\"");
    }

    #[test]
    fn only_what_is_sure_is_taken_without_validation() {
        let document = document(
            "query($id: ID!, $n: Int, $all: [String!], $d: Int! = 1, $o: BookOrder) { a }",
        );
        let operation = document.operation(None).unwrap().1;
        let sure = |value: Value| operation.is_sure_to_be_valid(value.as_object().unwrap());
        assert!(!sure(json!({ "id": "x" })), "it has never passed");
        operation.is_valid();
        assert!(sure(json!({ "id": "x" })));
        assert!(sure(json!({ "id": "x", "n": 7, "all": ["a"], "d": 2, "o": null, "more": {} })));
        for not_sure in [
            json!({}),
            json!({ "id": null }),
            json!({ "id": {} }),
            json!({ "id": "x", "n": "7" }),
            json!({ "id": "x", "n": 3_000_000_000_i64 }),
            json!({ "id": "x", "all": [null] }),
            json!({ "id": "x", "d": null }),
            json!({ "id": "x", "o": "TITLE" }),
        ] {
            assert!(!sure(not_sure.clone()), "{not_sure}");
        }
    }
}
