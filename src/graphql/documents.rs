//! Documents, taken apart once: when they come again they need not be parsed, nor validated where
//! nothing depends on the values of their variables.

use std::{
    fmt::{self, Display},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_graphql::{
    Name, Positioned, Request,
    parser::types::{BaseType, ExecutableDocument, OperationDefinition, OperationType, Type},
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{arrange::Arrangement, redact::without_literals};
use crate::{
    error::{Code, Error},
    telemetry::intern::intern,
};

/// The SHA-256 of a document's text, by which persisted documents are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Of a document's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (i, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How a request names a document whose text it does not send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DocumentId {
    /// By its hash.
    Hash(Hash),
    /// By whatever its manifest calls it.
    Other(String),
}

impl DocumentId {
    /// Reads an id: `sha256:` with a hash, a hash alone, or anything else.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let hash = Hash::parse(text.strip_prefix("sha256:").unwrap_or(text));
        hash.map_or_else(|| Self::Other(text.to_owned()), Self::Hash)
    }
}

/// A document that passed the guard and the parser.
pub struct Document {
    /// As the client or the manifest has it.
    pub text: String,
    /// As the parser read it.
    pub parsed: ExecutableDocument,
    /// Of its text.
    pub hash: Hash,
    /// The same as text.
    pub hex: Arc<str>,
    /// Its text without literals.
    pub redacted: String,
    operations: Vec<Arc<Operation>>,
}

/// One of a document's operations.
pub struct Operation {
    /// As the client calls it.
    pub name: Option<Arc<str>>,
    /// Query or mutation.
    pub kind: OperationType,
    /// The coordinate of its root field.
    pub root_field: &'static str,
    /// The order of the fields of its answer.
    pub arrangement: Arrangement,
    /// Its name as a label of metrics: only of trusted documents, whose number is known.
    pub label: Option<&'static str>,
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
        text: String,
        parsed: ExecutableDocument,
        root_field: impl Fn(&OperationDefinition, &ExecutableDocument) -> &'static str,
    ) -> Self {
        let operation = |(name, definition): (Option<&Name>, &Positioned<OperationDefinition>)| {
            let definition = &definition.node;
            Operation {
                name: name.map(|name| name.as_str().into()),
                kind: definition.ty,
                root_field: root_field(definition, &parsed),
                arrangement: Arrangement::of(&definition.selection_set.node, &parsed),
                label: None,
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
            }
        };
        let operations = parsed.operations.iter().map(operation).map(Arc::new).collect();
        let hash = Hash::of(&text);
        Self {
            hash,
            hex: hash.to_string().into(),
            redacted: without_literals(&text),
            operations,
            parsed,
            text,
        }
    }

    /// Lets the names of the first `left` of its operations be labels, and tells how many are
    /// left for other documents.
    pub fn label(&mut self, mut left: usize) -> usize {
        for operation in self.operations.iter_mut().filter_map(Arc::get_mut) {
            let Some(name) = operation.name.as_ref().filter(|_| left > 0) else { continue };
            operation.label = Some(intern(name));
            left -= 1;
        }
        left
    }

    /// Its operations, each with its parsed definition.
    pub fn operations(&self) -> impl Iterator<Item = (&OperationDefinition, &Arc<Operation>)> {
        // Both in the order in which the map has them.
        let definitions = self.parsed.operations.iter();
        definitions.map(|(_, definition)| &definition.node).zip(&self.operations)
    }

    /// The parsed definition of one of its operations.
    #[must_use]
    pub fn definition(&self, operation: &Operation) -> Option<&OperationDefinition> {
        let mut all = self.operations();
        all.find(|(_, other)| std::ptr::eq(&raw const ***other, operation))
            .map(|(definition, _)| definition)
    }

    /// A request that this operation be run. Its text is not needed any more.
    #[must_use]
    pub fn request(&self, operation: &Operation) -> Request {
        let mut request = Request::new("");
        request.operation_name = operation.name.as_deref().map(str::to_owned);
        request.set_parsed_query(self.parsed.clone());
        request
    }

    /// The operation to run: the one named, or the only one.
    ///
    /// # Errors
    /// If there is none of that name, or there are several and none was named.
    pub fn operation(&self, name: Option<&str>) -> Result<&Arc<Operation>, Error> {
        let refused = |message: &str| {
            Err(Error::Client(Code::OperationResolutionFailure, message.to_owned()))
        };
        if let Some(name) = name {
            return match self.operations.iter().find(|it| it.name.as_deref() == Some(name)) {
                Some(operation) => Ok(operation),
                None => refused("The document has no operation of that name."),
            };
        }
        match &*self.operations {
            [only] => Ok(only),
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

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;

    fn document(text: &str) -> Document {
        Document::new(text.to_owned(), parse_query(text).unwrap(), |_, _| "Query.x")
    }

    #[test]
    fn operations_are_found_by_name() {
        let one = document("query A { a }");
        assert_eq!(one.operation(None).unwrap().name.as_deref(), Some("A"));
        assert_eq!(one.operation(Some("A")).unwrap().name.as_deref(), Some("A"));
        assert!(one.operation(Some("B")).is_err());
        assert_eq!(document("{ a }").operation(None).unwrap().name, None);
        assert!(document("query A { a } query B { b }").operation(None).is_err());
    }

    #[test]
    fn ids_are_hashes_or_names() {
        let hash = Hash::of("{ a }");
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        assert_eq!(DocumentId::parse(&hash.to_string()), DocumentId::Hash(hash));
        assert_eq!(DocumentId::parse(&format!("sha256:{hash}")), DocumentId::Hash(hash));
        for other in ["", "sha256:", "books.v1", &"é".repeat(32), &"+1".repeat(32)] {
            assert_eq!(DocumentId::parse(other), DocumentId::Other(other.to_owned()));
        }
    }

    #[test]
    fn so_many_names_are_labels_and_no_more() {
        let mut three = document("query A { a } query B { b } query C { c }");
        assert_eq!(three.label(2), 0);
        let labels = three.operations().filter_map(|(_, operation)| operation.label);
        assert_eq!(labels.count(), 2);
        assert_eq!(document("{ a }").label(2), 2, "it has no name");
    }

    #[test]
    fn only_what_is_sure_is_taken_without_validation() {
        let document = document(
            "query($id: ID!, $n: Int, $all: [String!], $d: Int! = 1, $o: BookOrder) { a }",
        );
        let operation = document.operation(None).unwrap();
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
