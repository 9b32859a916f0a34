//! The text of documents for spans.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_left_out() {
        let text = "query Q($a1: Int = -1.5e3) { # s3cret\n x(a: $a1, b: \"s3\\\"cret\", \
                    c: [1, 22], d: \"\"\"s3\"cret\\\"\"\" \"\"\", e: TITLE, f: true) }";
        let kept = "query Q($a1: Int = 0) { \n x(a: $a1, b: \"\", \
                    c: [0, 0], d: \"\", e: TITLE, f: true) }";
        assert_eq!(without_literals(text), kept);
        assert_eq!(without_literals("{ a(b: \"unended s3cret\\"), "{ a(b: \"\"");
    }
}
