//! Texts: those that clients choose, which are cut, and those of fixed sets, which are kept.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
    time::SystemTime,
};

use humantime::format_rfc3339_micros;
use otlp_export::cut;
use serde::Serializer;

/// The characters of a text that a client chose, such as a path: these are in each request, and any of
/// them may be as long as a request may be.
const LIMIT: usize = 1024;

/// Returns the part of a client's text that is recorded.
#[must_use]
pub fn client_text(text: &str) -> &str {
    cut(text, LIMIT)
}

/// Returns `text` as one that lives as long as the process, for names and labels. Only for texts of which
/// there are few: what the schema, the router and the program's own statements consist of, and nothing
/// that a client chooses.
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

/// Serializes a time as RFC 3339 in UTC, with microseconds.
pub fn serialize_time<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_rfc3339_micros(*time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_long_texts() {
        assert_eq!(client_text(&"x".repeat(60_000)).len(), LIMIT);
    }
}
