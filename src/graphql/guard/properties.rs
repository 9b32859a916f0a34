//! What holds of the guard whatever it is given.

use async_graphql::parser::parse_query;
use clap::Parser;
use proptest::prelude::*;

use crate::config::{Cli, limits::DocumentLimits};

fn limits() -> DocumentLimits {
    Cli::parse_from(["colophon"]).settings.limits.documents
}

/// Pieces of documents, well formed and not, among them those of the known kills.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            "...",
            "... on Query",
            "query Q",
            "fragment f on Query",
            "...f",
            "@skip(if: true)",
            ":",
            "$",
            "!",
            "=",
            "|",
            "&",
            "\"",
            "\"\"\"",
            "\\",
            "\\\"",
            "\\\"\"\"",
            "#",
            "\n",
            "\r",
            ",",
            "\u{feff}",
            "\0",
            "é",
            "-",
            "1e9",
            "0.5",
            "__schema",
            "{ ...f0 } fragment f0 on Query { ...f1 ...f1 } fragment f1 on Query { a }",
            "[[[[[[[[[[[[[[[[[[[[",
            "]]]]]]]]]]]]]]]]]]]]",
            "a(b: [[1], {c: \"x\"}])",
            "{ __schema { types { fields { type { fields { name } } } } } }",
            "\"\\u0041\\n\"",
            "\"\"\" block \\\"\"\" string \"\"\"",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
        "\\PC{0,8}",
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.join(" "))
}

/// Documents that the parser accepts, each with its number of tokens.
fn documents() -> impl Strategy<Value = (String, usize)> {
    let value = prop_oneof![
        Just(("1".to_owned(), 1)),
        Just(("-1.5e3".to_owned(), 1)),
        Just(("$v".to_owned(), 2)),
        Just(("TITLE".to_owned(), 1)),
        "[a-z {}\\[\\]#()]{0,10}".prop_map(|text| (format!("\"{text}\\\"\\u0041\""), 1)),
        "[a-z {}\\[\\]#()\n]{0,10}"
            .prop_map(|text| (format!("\"\"\"{text}\\\"\"\"{text}\"\"\""), 1)),
    ];
    let value = value.prop_recursive(3, 12, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(|items| {
            let count = items.iter().map(|(_, tokens)| tokens).sum::<usize>() + 2;
            let items: Vec<String> = items.into_iter().map(|(text, _)| text).collect();
            (format!("[{}]", items.join(", ")), count)
        })
    });
    let leaf = ("[a-z_]{1,6}", prop::option::of(value)).prop_map(|(name, value)| match value {
        Some((value, tokens)) => (format!("{name}(x: {value}) # {{[(\n"), tokens + 5),
        None => (name, 1),
    });
    let field = leaf.prop_recursive(4, 24, 5, |inner| {
        ("[a-z_]{1,6}", prop::collection::vec(inner, 1..5)).prop_map(|(name, fields)| {
            let tokens = fields.iter().map(|(_, tokens)| tokens).sum::<usize>();
            let fields: Vec<String> = fields.into_iter().map(|(text, _)| text).collect();
            (format!("b: {name} {{ {} }}", fields.join("\n")), tokens + 5)
        })
    });
    field.prop_map(|(field, tokens)| (format!("{{ {field} }}"), tokens + 2))
}

proptest! {
    #[test]
    fn any_text_is_counted_or_refused(text in pieces()) {
        let limits = limits();
        if limits.check_text(&text).is_ok() && let Ok(document) = parse_query(&text) {
            let _ = limits.check_document(&document);
        }
    }

    #[test]
    fn tokens_are_counted_as_the_parser_sees_them((text, tokens) in documents()) {
        prop_assert!(parse_query(&text).is_ok(), "{text}");
        let exactly = DocumentLimits { max_tokens: tokens, ..limits() };
        prop_assert!(exactly.check_text(&text).is_ok(), "{text}");
        let fewer = DocumentLimits { max_tokens: tokens - 1, ..limits() };
        prop_assert!(fewer.check_text(&text).is_err(), "{text}");
    }
}
