//! The text of documents for spans.

use apollo_parser::{Lexer, TokenKind};

/// A document's text without its literals and comments, which may be confidential. Goes by tokens
/// and not by the syntax tree, so that the client's layout stays.
#[must_use]
pub fn without_literals(text: &str) -> String {
    let tokens = Lexer::new(text).filter_map(Result::ok);
    tokens.fold(String::with_capacity(text.len()), |kept, token| {
        kept + match token.kind() {
            TokenKind::StringValue => "\"\"",
            TokenKind::Int | TokenKind::Float => "0",
            TokenKind::Comment | TokenKind::Eof => "",
            _ => token.data(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_out_literals_and_comments() {
        let text = "query Q($a1: Int = -1.5e3) { # s3cret\n x(a: $a1, b: \"s3\\\"cret\", \
                    c: [1, 22], d: \"\"\"s3\"cret\\\"\"\" \"\"\", e: TITLE, f: true) }";
        let kept = "query Q($a1: Int = 0) { \n x(a: $a1, b: \"\", \
                    c: [0, 0], d: \"\", e: TITLE, f: true) }";
        assert_eq!(without_literals(text), kept);
    }
}
