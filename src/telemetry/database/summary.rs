//! What a statement does, in a few words: its operation and the tables it touches, in the order
//! they are named, such as `SELECT book_author author`
//! (opentelemetry.io/docs/specs/semconv/database/database-spans/#generating-a-summary-of-the-query).

use crate::telemetry::intern::intern;

/// Bytes of a summary, as the convention has it.
const LONGEST: usize = 255;

/// A statement in a few words.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// Operation and tables.
    pub text: &'static str,
    /// `SELECT`, `INSERT` …
    pub operation: &'static str,
    /// The table, if there is one only.
    pub collection: Option<&'static str>,
}

impl Summary {
    /// Of a statement of ours: this is no parser of SQL, and knows only what our statements need.
    pub fn of(sql: &str) -> Self {
        let words = words(sql);
        let operation = operation(&words);
        let tables = tables(&words);
        let mut text = operation.clone();
        for table in &tables {
            if text.len() + 1 + table.len() > LONGEST {
                break;
            }
            text.push(' ');
            text.push_str(table);
        }
        let collection = match tables.as_slice() {
            [only] => Some(intern(only)),
            _ => None,
        };
        Self { text: intern(&text), operation: intern(&operation), collection }
    }
}

/// What a statement begins with, or what the first of its common table expressions does, or what is
/// done first in a transaction.
fn operation(words: &[&str]) -> String {
    let first = match words {
        [with, _, _, "(", first, ..] if with.eq_ignore_ascii_case("WITH") => Some(first),
        ["BEGIN", "IMMEDIATE", first, ..] => Some(first),
        _ => words.first(),
    };
    first.map_or_else(String::new, |word| word.to_ascii_uppercase())
}

/// The tables, each once. A name behind which a parenthesis opens is that of a function.
fn tables<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut tables = Vec::new();
    for (index, pair) in words.windows(2).enumerate() {
        let [keyword, name] = pair else { continue };
        let is_next_a_table = ["FROM", "JOIN", "INTO", "UPDATE"]
            .iter()
            .any(|introduces| keyword.eq_ignore_ascii_case(introduces));
        let is_function =
            words.get(index + 2) == Some(&"(") && !keyword.eq_ignore_ascii_case("INTO");
        // `DO UPDATE SET` of an upsert names no table.
        let is_name = *name != "(" && !name.eq_ignore_ascii_case("SET");
        if is_next_a_table
            && is_name
            && !is_function
            && !is_expression(name, words)
            && !tables.contains(name)
        {
            tables.push(*name);
        }
    }
    tables
}

/// Whether `name` is that of a common table expression.
fn is_expression(name: &str, words: &[&str]) -> bool {
    let defines = |words: &[&str]| matches!(words, [this, is, "("] if *this == name && is.eq_ignore_ascii_case("AS"));
    words.windows(3).any(defines)
}

/// Words, names without their quotes, and opening parentheses. Literals are passed over.
fn words(sql: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => quoted(rest, '\''),
            '"' => {
                let length = quoted(rest, '"');
                words.push(rest[..length].trim_matches('"'));
                length
            }
            '(' => {
                words.push("(");
                1
            }
            c if c.is_alphanumeric() || c == '_' => {
                let is_end = |c: char| !(c.is_alphanumeric() || c == '_');
                let length = rest.find(is_end).unwrap_or(rest.len());
                words.push(&rest[..length]);
                length
            }
            other => other.len_utf8(),
        };
        rest = &rest[length..];
    }
    words
}

/// The length of what stands at the start of `text` between quotes, with them.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_and_tables() {
        for (sql, text, collection) in [
            (r#"SELECT "book"."id" FROM "book" WHERE "id" = $1"#, "SELECT book", Some("book")),
            (
                r#"SELECT "a".* FROM "book_author" INNER JOIN "author" ON "x" = 'FROM "no"'"#,
                "SELECT book_author author",
                None,
            ),
            (
                r#"INSERT INTO "author" ("name") VALUES (?) ON CONFLICT DO UPDATE SET "name" = ?"#,
                "INSERT author",
                Some("author"),
            ),
            (
                r#"SELECT 1 FROM "book" WHERE "id" IN (SELECT value FROM json_each(?))"#,
                "SELECT book",
                Some("book"),
            ),
            (r#"UPDATE "book" SET "title" = $1"#, "UPDATE book", Some("book")),
            (r#"DELETE FROM "book" WHERE "id" = $1"#, "DELETE book", Some("book")),
            (r#"SELECT COUNT(*) FROM (SELECT 1 FROM "book") "s""#, "SELECT book", Some("book")),
            (
                "WITH new AS (INSERT INTO book (title) VALUES ($1) RETURNING *) SELECT * FROM new AS book",
                "INSERT book",
                Some("book"),
            ),
            ("COMMIT", "COMMIT", None),
            ("BEGIN IMMEDIATE", "BEGIN", None),
            (
                "BEGIN IMMEDIATE; INSERT INTO book (title) VALUES ($1); COMMIT",
                "INSERT book",
                Some("book"),
            ),
        ] {
            let summary = Summary::of(sql);
            assert_eq!((summary.text, summary.collection), (text, collection), "{sql}");
        }
    }

    #[test]
    fn a_summary_is_not_too_long() {
        let tables: Vec<_> = (0..100).map(|n| format!("table_{n}")).collect();
        let sql = format!("SELECT 1 FROM {}", tables.join(" JOIN "));
        assert!(Summary::of(&sql).text.len() <= LONGEST);
    }
}
