//! Statements without the values that are written into their text, as the convention has it for those
//! without parameters
//! (<https://opentelemetry.io/docs/specs/semconv/db/database-spans/#sanitization-of-dbquerytext>).

use std::{iter::Peekable, str::Chars};

/// Returns `sql` with a `?` in the place of each text and each number. What is cut short, or may be one by
/// the rules of another database, is left out rather than kept.
pub fn without_literals(sql: &str) -> String {
    let mut result = String::with_capacity(sql.len());
    let mut rest = sql.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '\'' => {
                skip_text(&mut rest);
                result.push('?');
            }
            '"' | '`' => {
                result.push(next);
                copy_until(next, &mut rest, &mut result);
            }
            '$' if rest.peek().is_none_or(|next| !next.is_ascii_digit()) => {
                skip_dollar_quoted(&mut rest);
                result.push('?');
            }
            '0'..='9' if !continues_word(&result) => {
                while rest.next_if(|next| next.is_ascii_alphanumeric() || *next == '.').is_some() {}
                result.push('?');
            }
            _ => result.push(next),
        }
    }
    result
}

/// Whether a digit is a part of a name or of a parameter such as `$1`.
fn continues_word(before: &str) -> bool {
    let last = before.chars().next_back();
    last.is_some_and(|last| last.is_alphanumeric() || ['_', '$', '?', ':', '@'].contains(&last))
}

/// Skips the rest of a text, in which a quote is doubled or, by MySQL's rules, behind a backslash.
fn skip_text(rest: &mut Peekable<Chars<'_>>) {
    while let Some(next) = rest.next() {
        match next {
            '\\' => _ = rest.next(),
            '\'' if rest.next_if_eq(&'\'').is_none() => return,
            _ => {}
        }
    }
}

/// Copies a quoted name, with the quote at its end.
fn copy_until(quote: char, rest: &mut Peekable<Chars<'_>>, result: &mut String) {
    for next in rest.by_ref() {
        result.push(next);
        if next == quote {
            return;
        }
    }
}

/// Skips the rest of PostgreSQL's `$tag$ text $tag$`.
fn skip_dollar_quoted(rest: &mut Peekable<Chars<'_>>) {
    let tag: String = rest.by_ref().take_while(|next| *next != '$').collect();
    let end = format!("${tag}$");
    let mut text = String::new();
    for next in rest.by_ref() {
        text.push(next);
        if text.ends_with(&end) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_left_out_and_names_are_kept() {
        for (sql, expected) in [
            ("SELECT * FROM t1 WHERE a = 'x' AND b = 42", "SELECT * FROM t1 WHERE a = ? AND b = ?"),
            ("SELECT 'it''s', 'a\\'b', '' FROM t", "SELECT ?, ?, ? FROM t"),
            ("SELECT 1.5e10, -0x1F, .5 FROM t", "SELECT ?, -?, .? FROM t"),
            ("SELECT \"a'1\", `b'2`, c3 FROM t", "SELECT \"a'1\", `b'2`, c3 FROM t"),
            (
                "SELECT a FROM t WHERE b = $1 AND c = ?2 AND d = :n3",
                "SELECT a FROM t WHERE b = $1 AND c = ?2 AND d = :n3",
            ),
            ("SELECT $tag$ s3cret 'x' $tag$, $$y$$ FROM t", "SELECT ?, ? FROM t"),
            ("INSERT INTO t VALUES (1, 'a'), (2, 'b')", "INSERT INTO t VALUES (?, ?), (?, ?)"),
            ("SELECT 'unended", "SELECT ?"),
            ("SELECT $unended", "SELECT ?"),
            ("SELECT \"unended", "SELECT \"unended"),
        ] {
            assert_eq!(without_literals(sql), expected);
        }
    }
}
