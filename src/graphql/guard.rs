//! What a document may cost, checked before the library sees it.
//!
//! async-graphql can be killed by one small request: a few kilobytes of nested list
//! literals overflow its parser's stack, and some hundred bytes of fragments that spread
//! each other twice keep its validation busy for ever, whatever its own limits are. So
//! nesting and tokens are counted in the bytes, before parsing, and the document's size with all
//! fragments expanded is computed, without expanding them, before validation.

use std::collections::HashMap;

use crate::{
    config::limits::DocumentLimits,
    error::{Code, Error, Result},
};
use async_graphql::{
    Name, Positioned,
    parser::types::{Directive, ExecutableDocument, FragmentDefinition, Selection, SelectionSet},
};

impl DocumentLimits {
    /// Checks the text of a document, before parsing.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`] if it has too many tokens or is nested too deeply.
    pub fn check_text(&self, document: &str) -> Result<()> {
        let mut scanner = Scanner { bytes: document.as_bytes(), position: 0 };
        let (mut tokens, mut nesting) = (0_usize, 0_usize);
        while let Some(token) = scanner.next_token() {
            tokens += 1;
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
        let mut expansion = Expansion { fragments: &document.fragments, known: HashMap::new() };
        let mut selections = 0_usize;
        for fragment in document.fragments.keys() {
            expansion.fragment(fragment)?;
        }
        for (_, operation) in document.operations.iter() {
            let mut cost = expansion.selection_set(&operation.node.selection_set)?;
            cost.directives = cost.directives.saturating_add(operation.node.directives.len());
            selections = selections.saturating_add(cost.selections);
            within("fields and fragments", selections, self.max_selections)?;
            within("levels of nesting", cost.levels, self.max_nesting)?;
            within("levels of fields", cost.depth, self.max_depth)?;
            within("aliases", cost.aliases, self.max_aliases)?;
            within("root fields", cost.fields, self.max_root_fields)?;
            within("directives", cost.directives, self.max_directives)?;
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
                    self.skip_while(is_word);
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

/// The size of a selection set with all its fragments expanded. Saturates.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// Fields, fragment spreads and inline fragments.
    selections: usize,
    /// Fields of the set itself, fragments seen through.
    fields: usize,
    aliases: usize,
    directives: usize,
    /// Levels of fields.
    depth: usize,
    /// Levels of selection sets.
    levels: usize,
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.fields = self.fields.saturating_add(other.fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.depth = self.depth.max(other.depth);
        self.levels = self.levels.max(other.levels);
    }
}

type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

/// Computes costs, each fragment's once.
struct Expansion<'a> {
    fragments: &'a Fragments,
    /// `None` while the fragment is being computed.
    known: HashMap<&'a Name, Option<Cost>>,
}

impl<'a> Expansion<'a> {
    fn selection_set(&mut self, set: &'a Positioned<SelectionSet>) -> Result<Cost> {
        let mut total = Cost::default();
        for selection in &set.node.items {
            let cost = self.selection(&selection.node)?;
            total.add(cost);
        }
        total.levels += usize::from(!set.node.items.is_empty());
        Ok(total)
    }

    fn selection(&mut self, selection: &'a Selection) -> Result<Cost> {
        let directives = |list: &[Positioned<Directive>]| list.len();
        let (mut cost, own) = match selection {
            Selection::Field(field) => {
                let inner = self.selection_set(&field.node.selection_set)?;
                let introspection = field.node.name.node.starts_with("__");
                let cost = Cost {
                    fields: 1,
                    aliases: inner.aliases.saturating_add(field.node.alias.is_some().into()),
                    depth: if introspection { 0 } else { inner.depth + 1 },
                    ..inner
                };
                (cost, directives(&field.node.directives))
            }
            Selection::InlineFragment(fragment) => {
                let inner = self.selection_set(&fragment.node.selection_set)?;
                (inner, directives(&fragment.node.directives))
            }
            Selection::FragmentSpread(spread) => {
                let inner = self.fragment(&spread.node.fragment_name.node)?;
                (inner, directives(&spread.node.directives))
            }
        };
        cost.selections = cost.selections.saturating_add(1);
        cost.directives = cost.directives.saturating_add(own);
        Ok(cost)
    }

    fn fragment(&mut self, name: &'a Name) -> Result<Cost> {
        match self.known.get(name) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => {
                return Err(Error::Client(
                    Code::GraphqlValidationFailed,
                    format!("The fragment \"{name}\" contains itself."),
                ));
            }
            None => {}
        }
        // An unknown fragment is left to validation to refuse.
        let Some(fragment) = self.fragments.get(name) else { return Ok(Cost::default()) };
        self.known.insert(name, None);
        let mut cost = self.selection_set(&fragment.node.selection_set)?;
        cost.directives = cost.directives.saturating_add(fragment.node.directives.len());
        self.known.insert(name, Some(cost));
        Ok(cost)
    }
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
    fn introspection_has_no_depth() {
        let deep = "{ofType".repeat(12) + "{name}" + &"}".repeat(12);
        assert!(check(&format!("{{ __schema {{ types {deep} }} }}")).is_ok());
    }
}
