//! What a statement does, in a few words: its operations and the tables they are about, in the order
//! of the text, such as `SELECT book_author author` or `INSERT book SELECT author`
//! (opentelemetry.io/docs/specs/semconv/database/database-spans/#generating-a-summary-of-the-query).
//!
//! No crate that parses SQL: `sqlparser` knows no `json_each` and no `BEGIN IMMEDIATE`, and takes a
//! megabyte of the program; the convention wants words in their order, not a tree. It can go when a
//! crate of OpenTelemetry's has the same.

use std::collections::HashSet;

use crate::text::intern;

/// Bytes of a summary, as the convention has it.
const MAX_LENGTH: usize = 255;

/// A statement in a few words.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// Operations and tables.
    pub text: &'static str,
    /// The first operation: `SELECT`, `INSERT` …
    pub operation: &'static str,
    /// The table, if there is one only.
    pub collection: Option<&'static str>,
}

impl Summary {
    /// The summary of `sql`.
    pub fn of(sql: &str) -> Self {
        let parts = Reader::default().read(&tokens(sql));
        let mut text = String::new();
        for Part { text: part, .. } in &parts {
            let separator = if text.is_empty() { "" } else { " " };
            if text.len() + separator.len() + part.len() > MAX_LENGTH {
                break;
            }
            text = text + separator + part;
        }
        let operation = parts.iter().find(|part| !part.is_table);
        let tables: HashSet<&str> =
            parts.iter().filter(|part| part.is_table).map(|part| &*part.text).collect();
        let mut tables = tables.into_iter();
        let collection = match (tables.next(), tables.next()) {
            (Some(only), None) => Some(intern(only)),
            _ => None,
        };
        let operation = operation.map_or("", |operation| intern(&operation.text));
        Self { text: intern(&text), operation, collection }
    }
}

/// An operation or a table.
struct Part {
    text: String,
    is_table: bool,
    /// Between parentheses.
    is_inner: bool,
}

/// A token of SQL, as far as a summary needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A keyword or a name.
    Word(&'a str),
    /// A name between quotes, with them.
    Quoted(&'a str),
    /// Punctuation.
    Sign(char),
}

impl Token<'_> {
    fn is(self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn is_any(self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }
}

/// Where the reader is, inside of one pair of parentheses.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct Level {
    /// A statement may begin.
    at_start: bool,
    /// There was an operation: `FROM` in `EXTRACT(year FROM x)` names no table.
    has_operation: bool,
    /// In the list of tables behind `FROM`.
    in_tables: bool,
    /// The next name is a table.
    wants_table: bool,
    /// Behind `WITH`, in front of the statement itself.
    in_with: bool,
    /// The next name is a common table expression.
    wants_expression: bool,
}

/// Reads operations and tables.
#[derive(Default)]
struct Reader<'a> {
    parts: Vec<Part>,
    /// Names of common table expressions.
    expressions: HashSet<&'a str>,
    level: Level,
    outer: Vec<Level>,
}

impl<'a> Reader<'a> {
    fn read(mut self, tokens: &[Token<'a>]) -> Vec<Part> {
        self.level.at_start = true;
        for (index, token) in tokens.iter().enumerate() {
            let before = index.checked_sub(1).map(|index| tokens[index]);
            self.token(before, *token, tokens.get(index + 1).copied());
        }
        // A transaction around other operations is no part of what they do.
        let is_around = |part: &Part| {
            ["BEGIN", "COMMIT"].iter().any(|word| part.text.eq_ignore_ascii_case(word))
        };
        if !self.parts.iter().all(is_around) {
            self.parts.retain(|part| !is_around(part));
        }
        self.drop_subqueries_without_tables();
        self.parts
    }

    /// They say nothing, and there are many: of a join of subqueries, of a list of values.
    fn drop_subqueries_without_tables(&mut self) {
        let mut followed_by_table = false;
        let mut kept: Vec<_> = self.parts.drain(..).rev().collect();
        kept.retain(|part| {
            let is_kept = part.is_table || followed_by_table || !part.is_inner;
            followed_by_table = part.is_table;
            is_kept
        });
        kept.reverse();
        self.parts = kept;
    }

    fn token(&mut self, before: Option<Token<'a>>, token: Token<'a>, next: Option<Token<'a>>) {
        match token {
            Token::Sign('(') => {
                self.outer.push(self.level);
                self.level = Level { at_start: true, ..Level::default() };
            }
            Token::Sign(')') => {
                self.level = self.outer.pop().unwrap_or_default();
                self.level.wants_table = false;
            }
            Token::Sign(',') => {
                self.level.wants_table = self.level.in_tables;
                self.level.wants_expression = self.level.in_with;
            }
            Token::Sign(';') => self.level = Level { at_start: true, ..Level::default() },
            Token::Sign(_) => {}
            Token::Quoted(name) => self.name(unquoted(name), next),
            Token::Word(word) => self.word(before, word, next),
        }
    }

    fn word(&mut self, before: Option<Token<'a>>, word: &'a str, next: Option<Token<'a>>) {
        let token = Token::Word(word);
        if token.is_any(&["ALL", "DISTINCT", "EXISTS", "IF", "LATERAL", "NOT", "ONLY", "RECURSIVE"])
        {
            return;
        }
        if self.level.at_start && token.is("WITH") {
            self.level =
                Level { at_start: true, in_with: true, wants_expression: true, ..self.level };
        } else if token.is_any(&["UNION", "EXCEPT", "INTERSECT"]) {
            self.level = Level { at_start: true, ..Level::default() };
        } else if self.is_operation(before, token) {
            let text = word.to_ascii_uppercase();
            self.parts.push(Part { text, is_table: false, is_inner: !self.outer.is_empty() });
            let wants_table = token.is_any(&["UPDATE", "TRUNCATE", "ANALYZE", "VACUUM"]);
            self.level = Level { has_operation: true, wants_table, ..Level::default() };
        } else if token.is_any(&["FROM", "JOIN", "INTO", "TABLE"]) {
            self.level.wants_table = self.level.has_operation;
            self.level.in_tables |= token.is("FROM") && self.level.has_operation;
        } else if token.is_any(&CLAUSES) {
            self.level.in_tables = false;
            self.level.wants_table = false;
        } else {
            self.name(word, next);
        }
    }

    fn is_operation(&self, before: Option<Token<'a>>, word: Token<'a>) -> bool {
        // `FOR UPDATE`, `DO UPDATE`, `ON DELETE` are parts of other operations.
        let is_part = before.is_some_and(|before| before.is_any(&["FOR", "DO", "ON", "KEY", "OF"]));
        let is_data = word.is_any(&["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"]);
        (is_data && !is_part)
            || (self.level.at_start && self.outer.is_empty() && !self.level.in_with)
    }

    /// A name: of a table, if one is expected and this is no function.
    fn name(&mut self, name: &'a str, next: Option<Token<'a>>) {
        if std::mem::take(&mut self.level.wants_expression) {
            self.expressions.insert(name);
        } else if self.level.wants_table && next == Some(Token::Sign('.')) {
            // A schema: the table is behind it.
        } else if std::mem::take(&mut self.level.wants_table) {
            let is_function = next == Some(Token::Sign('(')) && self.level.in_tables;
            let is_again =
                self.parts.iter().rev().take_while(|it| it.is_table).any(|it| it.text == name);
            if !is_function && !is_again && !self.expressions.contains(name) {
                self.parts.push(Part { text: name.to_owned(), is_table: true, is_inner: false });
            }
        }
        self.level.at_start &= self.level.in_with;
    }
}

/// What ends a list of tables.
const CLAUSES: [&str; 12] = [
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "WINDOW",
    "SET",
    "VALUES",
    "RETURNING",
    "ON",
    "USING",
];

/// A name without its quotes, unless it is none without them.
fn unquoted(name: &str) -> &str {
    let inside = name.get(1..name.len().saturating_sub(1)).unwrap_or(name);
    let is_plain = !inside.is_empty() && inside.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_plain { inside } else { name }
}

/// The tokens of `sql`, without comments, literals, numbers and placeholders.
fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length_while = |belongs: &dyn Fn(char) -> bool| {
            rest.char_indices().skip(1).find(|(_, c)| !belongs(*c)).map_or(rest.len(), |(at, _)| at)
        };
        let length = match first {
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '\'' => quoted(rest, '\''),
            '"' | '`' => {
                let length = quoted(rest, first);
                tokens.push(Token::Quoted(&rest[..length]));
                length
            }
            '$' | '?' | '0'..='9' => length_while(&is_word),
            c if is_word(c) => {
                let length = length_while(&is_word);
                tokens.push(Token::Word(&rest[..length]));
                length
            }
            c => {
                if matches!(c, '(' | ')' | ',' | ';' | '.') {
                    tokens.push(Token::Sign(c));
                }
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of what is between quotes at the start of `text`, with them. A quote twice is one
/// inside.
fn quoted(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(found) = text[at..].find(quote) {
        at += found + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_operations_and_tables_in_order() {
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
            (
                r#"SELECT COUNT(*) FROM (SELECT 1 FROM "book") "s""#,
                "SELECT SELECT book",
                Some("book"),
            ),
            (
                "WITH new AS (INSERT INTO book (title) VALUES ($1) RETURNING *) SELECT * FROM new AS book",
                "INSERT book SELECT",
                Some("book"),
            ),
            (
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
                 SELECT count(*) FROM n",
                "SELECT",
                None,
            ),
            (
                "with a as materialized (select 1 from x), b (c, d) as (select 2 from a, y) \
                 delete from z using b where exists (select 1 from w)",
                "SELECT x SELECT y DELETE z SELECT w",
                None,
            ),
            ("SELECT a FROM x UNION ALL SELECT b FROM y", "SELECT x SELECT y", None),
            ("(SELECT a FROM x) EXCEPT (SELECT b FROM x)", "SELECT x SELECT x", Some("x")),
            (
                "SELECT * FROM songs, artists a, \"song list\"",
                "SELECT songs artists \"song list\"",
                None,
            ),
            ("SELECT * FROM public.book, \"a\".\"b\"", "SELECT book b", None),
            (
                "INSERT INTO details (a, b) SELECT a, b FROM orders",
                "INSERT details SELECT orders",
                None,
            ),
            ("SELECT EXTRACT(year FROM at), trim(both FROM x) FROM t", "SELECT t", Some("t")),
            (
                "SELECT 'it''s FROM no' FROM t -- FROM comment\n WHERE 1 /* FROM x */",
                "SELECT t",
                Some("t"),
            ),
            ("/* a */ SELECT 1 FROM t FOR UPDATE OF t", "SELECT t", Some("t")),
            (
                "SELECT $1 FROM t LEFT JOIN LATERAL (SELECT 1 FROM u) v ON true",
                "SELECT t SELECT u",
                None,
            ),
            ("CREATE TABLE IF NOT EXISTS t (id int)", "CREATE t", Some("t")),
            ("ANALYZE book", "ANALYZE book", Some("book")),
            ("SET LOCAL statement_timeout = 3", "SET", None),
            ("SELECT pg_sleep($1)::text", "SELECT", None),
            ("COMMIT", "COMMIT", None),
            ("BEGIN IMMEDIATE", "BEGIN", None),
            (
                "BEGIN IMMEDIATE; INSERT INTO book (title) VALUES ($1); COMMIT",
                "INSERT book",
                Some("book"),
            ),
            ("", "", None),
        ] {
            let summary = Summary::of(sql);
            assert_eq!((summary.text, summary.collection), (text, collection), "{sql}");
        }
    }

    #[test]
    fn ends_with_a_whole_name() {
        let tables: Vec<_> = (0..100).map(|n| format!("table_{n}")).collect();
        let sql = format!("SELECT 1 FROM {}", tables.join(" JOIN "));
        let text = Summary::of(&sql).text;
        assert!(text.len() <= MAX_LENGTH && text.len() > MAX_LENGTH - 10, "{text}");
        assert!(tables.iter().any(|table| text.ends_with(&format!(" {table}"))), "{text}");
    }
}
