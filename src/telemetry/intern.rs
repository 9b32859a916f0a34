//! Texts that live as long as the process, for names and labels.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
};

/// `text`, kept for good. Only for texts of which there are few: what the schema, the router and
/// our own statements consist of, and nothing that a client chooses.
#[must_use]
pub fn intern(text: &str) -> &'static str {
    static TEXTS: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text) {
        return known;
    }
    let text: &'static str = text.to_owned().leak();
    texts.insert(text);
    text
}
