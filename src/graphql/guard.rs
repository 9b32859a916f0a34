//! What a document may cost, checked before the library sees it.
//!
//! async-graphql can be killed by one small request: a few kilobytes of nested list
//! literals overflow its parser's stack, and some hundred bytes of fragments that spread
//! each other twice keep its validation busy for ever, whatever its own limits are. So
//! nesting and tokens are counted in the bytes, before parsing, and the document's size with all
//! fragments expanded is computed, without expanding them, before validation.

mod expansion;
#[cfg(test)]
mod properties;

use async_graphql::parser::types::ExecutableDocument;
use serde_json::{Map, Value};

use self::expansion::Expansion;
use crate::{
    config::limits::{DocumentLimits, MAX_INTROSPECTED, MAX_INTROSPECTION_LISTS, MAX_WORD},
    error::{Code, Error, Result},
};

impl DocumentLimits {
    /// Checks the text of a document, before parsing.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`] if it has too many tokens or is nested too deeply.
    pub fn check_text(&self, document: &str) -> Result<()> {
        let mut scanner = Scanner { bytes: document.as_bytes(), position: 0, word: 0 };
        let (mut tokens, mut nesting) = (0_usize, 0_usize);
        while let Some(token) = scanner.next_token() {
            tokens += 1;
            if is_word(token) {
                within("bytes in a name or number", scanner.word, MAX_WORD)?;
            }
            match token {
                b'{' | b'(' | b'[' => nesting += 1,
                b'}' | b')' | b']' => nesting = nesting.saturating_sub(1),
                _ => {}
            }
            within("tokens", tokens, self.max_tokens)?;
            within("levels of nesting", nesting, self.max_nesting)?;
        }
        Ok(())
    }

    /// Checks a parsed document, before validation.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`], or [`Code::GraphqlValidationFailed`] if a fragment contains itself.
    pub fn check_document(&self, document: &ExecutableDocument) -> Result<()> {
        let mut expansion = Expansion::new(&document.fragments, self.max_nesting);
        let mut selections = 0_usize;
        // Also those that no operation uses: validation looks at them all the same.
        for fragment in document.fragments.keys() {
            selections = selections.saturating_add(expansion.fragment(fragment)?.selections);
            within("fields and fragments", selections, self.max_selections)?;
        }
        let mut selections = 0_usize;
        for (_, operation) in document.operations.iter() {
            let cost = expansion.operation(&operation.node)?;
            selections = selections.saturating_add(cost.selections);
            within("fields and fragments", selections, self.max_selections)?;
            within("levels of nesting", cost.levels, self.max_nesting)?;
            within("levels of fields", cost.depth, self.max_depth)?;
            within("aliases", cost.aliases, self.max_aliases)?;
            within("root fields", cost.fields, self.max_root_fields)?;
            within("directives", cost.directives, self.max_directives)?;
            within("lists of introspection in each other", cost.lists, MAX_INTROSPECTION_LISTS)?;
            within("values of introspection", cost.introspected, MAX_INTROSPECTED)?;
        }
        Ok(())
    }

    /// Checks the values of variables. They count as the document's own literals would.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`] if there are too many or they are nested too deeply.
    pub fn check_variables(&self, variables: &Map<String, Value>) -> Result<()> {
        let mut open: Vec<(&Value, usize)> = variables.values().map(|value| (value, 1)).collect();
        let mut values = 0_usize;
        while let Some((value, level)) = open.pop() {
            values += 1;
            within("levels of nesting", level, self.max_nesting)?;
            match value {
                Value::Array(items) => open.extend(items.iter().map(|item| (item, level + 1))),
                Value::Object(fields) => open.extend(fields.values().map(|f| (f, level + 1))),
                _ => {}
            }
            within("values of variables", values + open.len(), self.max_tokens)?;
        }
        Ok(())
    }
}

fn within(what: &str, count: usize, limit: usize) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(Error::Client(
        Code::LimitExceeded,
        format!("The document has more {what} than the {limit} that are allowed."),
    ))
}

/// Splits a document into tokens as far as counting needs it. What is not GraphQL is left to
/// the parser to refuse.
struct Scanner<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Bytes of the last name or number.
    word: usize,
}

impl Scanner<'_> {
    /// The first byte of the next token.
    fn next_token(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.position)?;
            match byte {
                b'#' => self.skip_while(|b| b != b'\n' && b != b'\r'),
                b' ' | b'\t' | b'\n' | b'\r' | b',' => self.position += 1,
                b'"' => {
                    self.skip_string();
                    return Some(byte);
                }
                _ if is_word(byte) => {
                    let start = self.position;
                    self.skip_while(is_word);
                    self.word = self.position - start;
                    return Some(byte);
                }
                _ => {
                    self.position += 1;
                    return Some(byte);
                }
            }
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.bytes.get(self.position).is_some_and(|b| wanted(*b)) {
            self.position += 1;
        }
    }

    fn skip_string(&mut self) {
        let rest = &self.bytes[self.position..];
        let (quote, escape): (&[u8], &[u8]) =
            if rest.starts_with(br#"""""#) { (br#"""""#, br#"\""""#) } else { (b"\"", b"\\") };
        self.position += quote.len();
        while self.position < self.bytes.len() {
            let rest = &self.bytes[self.position..];
            if rest.starts_with(escape) {
                // A backslash covers the byte behind it; in a block string, only the three quotes.
                self.position += if quote.len() == 1 { 2 } else { escape.len() };
            } else if rest.starts_with(quote) {
                self.position += quote.len();
                return;
            } else if quote.len() == 1 && matches!(rest[0], b'\n' | b'\r') {
                // No string reaches over a line: what follows must be counted.
                return;
            } else {
                self.position += 1;
            }
        }
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'+')
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use clap::Parser;

    use super::*;
    use crate::config::Cli;

    fn limits() -> DocumentLimits {
        Cli::parse_from(["colophon"]).settings.limits.documents
    }

    fn check(document: &str) -> Result<()> {
        limits().check_text(document)?;
        limits().check_document(&parse_query(document).unwrap())
    }

    fn refused(document: &str) -> String {
        check(document).unwrap_err().to_string()
    }

    #[test]
    fn nested_literals_are_refused_before_parsing() {
        let open = "[".repeat(20_000);
        let text = limits().check_text(&format!("{{ a(b: {open}"));
        assert!(text.unwrap_err().to_string().contains("nesting"));
    }

    #[test]
    fn doubling_fragments_are_refused_before_validation() {
        let mut document = "{ ...f0 } fragment f30 on Query { __typename }".to_owned();
        for i in 0..30 {
            let (this, next) = (format!("f{i}"), format!("f{}", i + 1));
            document.extend([" fragment ", &this, " on Query { ...", &next, " ...", &next, " }"]);
        }
        assert!(document.len() < 2_000);
        assert!(refused(&document).contains("10000"));
    }

    #[test]
    fn a_fragment_that_contains_itself_is_refused() {
        let cycle = "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }";
        assert!(refused(cycle).contains("contains itself"));
        let unused = "{ __typename } fragment a on Query { ...a }";
        assert!(refused(unused).contains("contains itself"));
    }

    #[test]
    fn every_limit_has_its_error() {
        let many = |n: usize, part: &str| part.repeat(n);
        let deep = |n: usize| format!("{}a{}", many(n, "a{"), many(n, "}"));
        for (document, what) in [
            (format!("{{{}}}", many(5_000, " a")), "tokens"),
            (format!("{{{}}}", deep(10)), "levels of fields"),
            (format!("{{{}}}", many(21, " a")), "root fields"),
            (format!("{{x{{{}}}}}", many(31, " b:a")), "aliases"),
            (format!("{{{}}}", many(257, "a")), "bytes in a name"),
            (format!("{{x{{{}}}}}", many(51, " a@skip(if:true)")), "directives"),
        ] {
            assert!(refused(&document).contains(what), "{what}: {}", refused(&document));
        }
        assert!(check(&format!("{{{}}}", deep(9))).is_ok());
    }

    #[test]
    fn strings_and_comments_are_not_counted_as_brackets() {
        let open = "[".repeat(100);
        let document = format!(
            "{{ a(s: \"{open}\\\"{open}\", b: \"\"\"{open}\\\"\"\"{open}\"\"\") # {open}\n }}"
        );
        assert!(check(&document).is_ok());
        let unclosed = format!("{{ a(s: \"\n{open}");
        assert!(limits().check_text(&unclosed).is_err());
    }

    #[test]
    fn long_chains_of_fragments_are_refused_before_they_overflow_a_stack() {
        let mut document = "{ ...f0 }".to_owned();
        for i in 0..600 {
            document += &format!(" fragment f{i} on Query {{ ...f{} }}", i + 1);
        }
        assert!(refused(&document).contains("nesting"));
        let unused = document.replacen("{ ...f0 }", "{ __typename }", 1);
        assert!(refused(&unused).contains("nesting"));
    }

    #[test]
    fn fragments_that_nothing_uses_are_counted() {
        let fields = " a".repeat(1_000);
        let spreads = " a{...big}".repeat(20);
        let document = format!(
            "{{ __typename }} fragment big on Query {{ {fields} }} fragment x on Query {{ {spreads} }}"
        );
        assert!(refused(&document).contains("fields and fragments"));
    }

    #[test]
    fn introspection_has_limits_of_its_own() {
        let deep = "{ofType".repeat(12) + "{name}" + &"}".repeat(12);
        assert!(check(&format!("{{ __schema {{ types {deep} }} }}")).is_ok());
        let types = |inside: &str| format!("__schema {{ types {{ {inside} }} }}");
        let twice = "fields { type { fields { name } } }";
        assert!(check(&format!("{{ {} }}", types(twice))).is_ok());
        let fragments = "fragment f on __Type { fields { type { ...g } } } \
                         fragment g on __Type { interfaces { inputFields { name } } }";
        for document in [
            format!("{{ {} }}", types("fields { type { fields { type { fields { name } } } } }")),
            format!("{{ {} }}", types("possibleTypes { interfaces { possibleTypes { name } } }")),
            format!("{{ {} }} {fragments}", types("...f")),
            format!("{{ __type(name: \"Book\") {{ ...f }} }} {fragments}"),
        ] {
            assert!(refused(&document).contains("in each other"), "{document}");
        }
        let wide = (0..25).fold(String::new(), |all, i| format!("{all} a{i}: {twice}"));
        let wide = format!("{{ {} }}", types(&wide));
        assert!(refused(&wide).contains("values of introspection"), "{wide}");
        // Fields of the catalogue that only have such names are no introspection.
        assert!(check("{ fields { fields { fields { fields } } } }").is_ok());
    }

    #[test]
    fn variables_are_counted_as_literals_are() {
        let check = |json: serde_json::Value| limits().check_variables(json.as_object().unwrap());
        assert!(
            check(serde_json::json!({ "ids": vec!["a"; 4_000], "x": { "y": [null] } })).is_ok()
        );
        let many = check(serde_json::json!({ "ids": vec!["a"; 5_001] })).unwrap_err();
        assert!(many.to_string().contains("values of variables"), "{many}");
        let deep = (0..40).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        let deep = check(serde_json::json!({ "x": deep })).unwrap_err();
        assert!(deep.to_string().contains("nesting"), "{deep}");
    }
}
