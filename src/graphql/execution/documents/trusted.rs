//! Trusted documents: a manifest, read at the start, of the documents that the operator's own
//! clients send. Each of them is checked as if it came from outside.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::Path,
    sync::Arc,
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use crate::graphql::execution::documents::{Document, DocumentId, Hash};

/// Names of operations that may be labels of metrics.
const MAX_LABELS: usize = 1000;
/// What Apollo's manifests call themselves.
const APOLLO: &str = "apollo-persisted-query-manifest";

/// The documents of a manifest, ready to run: by their ids and by their hashes.
#[derive(Default)]
pub struct Trusted(HashMap<DocumentId, Arc<Document>>);

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// `--only-trusted` without documents to trust.
    #[error("--only-trusted (or COLOPHON_ONLY_TRUSTED) needs --trusted-documents")]
    Missing,
    /// The file cannot be read.
    #[error("cannot read the trusted documents in {0}: {1}")]
    Unreadable(String, std::io::Error),
    /// The file is no manifest.
    #[error("{0} is no manifest of documents: {1}")]
    NotAManifest(String, String),
    /// A document is wrong.
    #[error("the trusted document {0:?} in {1}: {2}")]
    Document(String, String, String),
}

impl Trusted {
    /// Reads the manifest at `path`. `check` makes a document of a text, or says what is wrong
    /// with it.
    ///
    /// # Errors
    /// What is wrong with the manifest, or with which of its documents.
    pub fn read(
        path: &Path,
        check: impl Fn(String) -> Result<Document, String>,
    ) -> Result<Self, ManifestError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ManifestError::Unreadable(file.clone(), error))?;
        let entries =
            entries(&text).map_err(|error| ManifestError::NotAManifest(file.clone(), error))?;
        let (mut trusted, mut ids, mut labels) = (HashMap::new(), HashSet::new(), MAX_LABELS);
        for (name, text) in entries {
            let wrong = |error| ManifestError::Document(name.clone(), file.clone(), error);
            let (id, hash) = (DocumentId::parse(&name), Hash::of(&text));
            if matches!(id, DocumentId::Hash(named) if named != hash) {
                return Err(wrong(format!("its text has the SHA-256 {hash}")));
            }
            if !ids.insert(id.clone()) {
                return Err(wrong("it is there twice".to_owned()));
            }
            let mut document = check(text).map_err(wrong)?;
            labels = document.label(labels);
            let document = Arc::new(document);
            trusted.insert(DocumentId::Hash(hash), document.clone());
            trusted.insert(id, document);
        }
        Ok(Self(trusted))
    }

    /// The document of this id.
    #[must_use]
    pub fn get(&self, id: &DocumentId) -> Option<Arc<Document>> {
        self.0.get(id).cloned()
    }
}

/// The ids and texts of a manifest: Relay's, an object of texts by id, or Apollo's.
fn entries(text: &str) -> Result<Vec<(String, String)>, String> {
    let Pairs(pairs) = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let has = |key: &str| pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value);
    if has("format").and_then(Value::as_str) == Some(APOLLO) {
        if has("version").and_then(Value::as_u64) != Some(1) {
            return Err("its version must be 1".to_owned());
        }
        let operations = has("operations").cloned().unwrap_or_default();
        let operations: Vec<ApolloOperation> =
            serde_json::from_value(operations).map_err(|error| format!("operations: {error}"))?;
        return Ok(operations
            .into_iter()
            .map(|operation| (operation.id, operation.body))
            .collect());
    }
    let entry = |(id, value)| match value {
        Value::String(text) => Ok((id, text)),
        _ => Err(format!("{id:?} must be the text of a document")),
    };
    pairs.into_iter().map(entry).collect()
}

#[derive(Deserialize)]
struct ApolloOperation {
    id: String,
    body: String,
}

/// An object with all its keys, also those that are there twice.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of documents by id")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_of_manifests() {
        let expected = vec![("a".to_owned(), "{ x }".to_owned())];
        assert_eq!(entries(r#"{"a": "{ x }"}"#), Ok(expected.clone()));
        let apollo = r#"{"format": "apollo-persisted-query-manifest", "version": 1, "operations":
            [{"id": "a", "name": "X", "type": "query", "body": "{ x }"}]}"#;
        assert_eq!(entries(apollo), Ok(expected));
        assert!(entries(&apollo.replace("1,", "2,")).is_err());
        assert!(entries(r#"{"a": 1}"#).is_err() && entries("[]").is_err() && entries("").is_err());
        assert_eq!(entries(r#"{"a": "{ x }", "a": "{ y }"}"#).unwrap().len(), 2);
    }
}
