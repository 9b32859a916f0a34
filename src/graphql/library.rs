//! The documents that are known: those of the manifest, and those that were seen lately. Both are
//! found by the hash of their text, whether a client sends the text or the hash.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};

use super::{
    documents::{Document, DocumentId, Hash},
    trusted::Trusted,
};
use crate::{
    config::documents::DocumentSettings,
    error::{Code, Error, Result},
};

/// Bytes of text of all documents that are remembered. A document takes some twenty times as much
/// as its text.
const REMEMBERED_TEXT: u64 = 512 * 1024;
/// Documents, for the cache to begin with.
const USUAL_DOCUMENTS: usize = 256;

/// The documents that are known.
#[derive(Clone)]
pub struct Library {
    trusted: Arc<Trusted>,
    /// Whether no others are served.
    only_trusted: bool,
    seen: Arc<Cache<Hash, Arc<Document>, ByText>>,
    /// Whether those can be named by their hash alone.
    by_hash: bool,
}

#[derive(Clone)]
struct ByText;

impl Weighter<Hash, Arc<Document>> for ByText {
    fn weight(&self, _: &Hash, document: &Arc<Document>) -> u64 {
        document.text.len() as u64
    }
}

impl Library {
    /// One that trusts no documents yet.
    #[must_use]
    pub fn new(settings: &DocumentSettings) -> Self {
        Self {
            trusted: Arc::default(),
            only_trusted: settings.only_trusted,
            seen: Arc::new(Cache::with_weighter(USUAL_DOCUMENTS, REMEMBERED_TEXT, ByText)),
            by_hash: settings.automatic_persisted_queries && !settings.only_trusted,
        }
    }

    /// Trusts these.
    pub fn trust(&mut self, trusted: Trusted) {
        self.trusted = Arc::new(trusted);
    }

    /// Remembers a document, which is valid.
    pub fn remember(&self, document: &Arc<Document>) {
        self.seen.insert(document.hash, document.clone());
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
            let message = "Only documents known beforehand are served.";
            return Err(Error::Client(Code::DocumentNotTrusted, message.to_owned()));
        }
        let seen = match wanted {
            DocumentId::Hash(hash) if id.is_none() || self.by_hash => self.seen.get(hash),
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
