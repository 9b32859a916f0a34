//! The documents that are known: those of the manifest, and those that were sent lately. Both are
//! found by the hash of their text, whether a client sends the text or the hash.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};

use crate::{
    config::documents::DocumentSettings,
    error::{Code, Error, Result},
    graphql::execution::documents::{Document, DocumentId, Hash, trusted::Trusted},
};

/// Bytes of text of all documents that are kept; 3,000 of them took 26 MB. One whose selections
/// depend on variables keeps its syntax tree too, and counts twice.
const MAX_TEXT: u64 = 512 * 1024;
/// Documents, for the cache to begin with.
const EXPECTED_DOCUMENTS: usize = 256;

/// The documents that are known.
#[derive(Clone)]
pub struct DocumentCache {
    trusted: Arc<Trusted>,
    /// Whether no others are served.
    only_trusted: bool,
    recent: Arc<Cache<Hash, Arc<Document>, ByText>>,
    /// Whether those can be named by their hash alone.
    by_hash: bool,
}

#[derive(Clone)]
struct ByText;

impl Weighter<Hash, Arc<Document>> for ByText {
    fn weight(&self, _: &Hash, document: &Arc<Document>) -> u64 {
        document.text.len() as u64 * if document.is_conditional() { 2 } else { 1 }
    }
}

impl DocumentCache {
    /// A cache without trusted documents.
    #[must_use]
    pub fn new(settings: &DocumentSettings) -> Self {
        Self {
            trusted: Arc::default(),
            only_trusted: settings.only_trusted,
            recent: Arc::new(Cache::with_weighter(EXPECTED_DOCUMENTS, MAX_TEXT, ByText)),
            by_hash: settings.automatic_persisted_queries && !settings.only_trusted,
        }
    }

    /// Trusts the documents of a manifest.
    pub fn trust(&mut self, trusted: Trusted) {
        self.trusted = Arc::new(trusted);
    }

    /// Keeps a document.
    pub fn insert(&self, document: &Arc<Document>) {
        self.recent.insert(document.hash, document.clone());
    }

    /// The document that a request names by `id` or else sends as `text`; none if that text has
    /// yet to be read.
    ///
    /// # Errors
    /// [`Code::DocumentNotTrusted`], and, as Apollo's clients know them,
    /// [`Code::PersistedQueryNotFound`] and [`Code::PersistedQueryNotSupported`].
    pub fn find(&self, id: Option<&DocumentId>, text: &str) -> Result<Option<Arc<Document>>> {
        let of_text;
        let wanted = if let Some(id) = id {
            id
        } else {
            of_text = DocumentId::Hash(Hash::of(text));
            &of_text
        };
        if let Some(document) = self.trusted.get(wanted) {
            return Ok(Some(document));
        }
        if self.only_trusted {
            let message = "Only trusted documents are accepted.";
            return Err(Error::Client(Code::DocumentNotTrusted, message.to_owned()));
        }
        let seen = match wanted {
            DocumentId::Hash(hash) if id.is_none() || self.by_hash => self.recent.get(hash),
            DocumentId::Hash(_) => {
                let message = "PersistedQueryNotSupported".to_owned();
                return Err(Error::Client(Code::PersistedQueryNotSupported, message));
            }
            DocumentId::Other(_) => None,
        };
        if seen.is_none() && id.is_some() {
            let message = "PersistedQueryNotFound".to_owned();
            return Err(Error::Client(Code::PersistedQueryNotFound, message));
        }
        Ok(seen)
    }
}
