//! Texts that clients choose.

use otlp_export::cut;

/// The characters of a text that a client chose, such as a path: these are in each request, and any of
/// them may be as long as a request may be.
const LIMIT: usize = 1024;

/// Returns the part of a client's text that is recorded.
#[must_use]
pub fn client_text(text: &str) -> &str {
    cut(text, LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_long_texts() {
        assert_eq!(client_text(&"x".repeat(60_000)).len(), LIMIT);
    }
}
