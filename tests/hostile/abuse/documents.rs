//! Documents that are too deep, too wide or too long.

use super::{Case, document, many};

/// Documents that are deeper than they need to be.
pub fn nested() -> Vec<Case> {
    let nested = |open: &str, close: &str, n: usize| open.repeat(n) + &close.repeat(n);
    let limit = "LIMIT_EXCEEDED";
    let cyclic = "fields{type{".repeat(6) + "name" + &"}}".repeat(6);
    let aliased = many(25, |i| format!("a{i}: fields {{ type {{ fields {{ name }} }} }} "));
    vec![
        ("deep", document("{a".repeat(2_000)), limit),
        ("deep lists", document(format!("{{ nodes(ids: {}) }}", nested("[", "]", 9_000))), limit),
        ("deep objects", document("{ a(b: ".to_owned() + &"{a:".repeat(9_000)), limit),
        ("deep types", document(format!("query($a: {}) {{ a }}", nested("[", "]", 90))), limit),
        (
            "cyclic introspection",
            document(format!("{{ __schema {{ types {{ {cyclic} }} }} }}")),
            limit,
        ),
        (
            "aliased introspection",
            document(format!("{{ __schema {{ types {{ {aliased} }} }} }}")),
            limit,
        ),
    ]
}

/// Documents that repeat something hundreds of times.
pub fn wide() -> Vec<Case> {
    let limit = "LIMIT_EXCEEDED";
    let invalid = "GRAPHQL_VALIDATION_FAILED";
    let conflicts = many(800, |i| format!("title(x: {i}) "));
    let merged = "title ".repeat(4_000);
    vec![
        ("wide", document(format!("{{ {} }}", many(6_000, |i| format!("f{i} ")))), limit),
        (
            "aliased",
            document(format!("{{ {} }}", many(900, |i| format!("a{i}: books {{ totalCount }} ")))),
            limit,
        ),
        ("the same field", document(format!("{{ books {{ nodes {{ {merged} }} }} }}")), ""),
        (
            "directives",
            document(format!("{{ __typename {} }}", "@skip(if: false) ".repeat(600))),
            invalid,
        ),
        (
            "many operations",
            document(many(700, |i| format!("query q{i} {{ a: __typename }} "))),
            "OPERATION_RESOLUTION_FAILURE",
        ),
        (
            "many variables",
            document(format!(
                "query({}) {{ __typename }}",
                many(1_200, |i| format!("$v{i}: Int "))
            )),
            invalid,
        ),
        (
            "unknown everything",
            document(format!("{{ books {{ {} }} }}", many(1_600, |i| format!("u{i} @d ")))),
            invalid,
        ),
        (
            "unknown fields",
            document(format!(
                "{{ books(first: 1) {{ {} }} }}",
                many(4_900, |i| format!("titl{i} "))
            )),
            invalid,
        ),
        (
            "conflicting fields",
            document(format!("{{ books(first: 1) {{ nodes {{ {conflicts} }} }} }}")),
            invalid,
        ),
    ]
}

/// Long tokens, and texts that are no operation.
pub fn texts() -> Vec<Case> {
    let limit = "LIMIT_EXCEEDED";
    let invalid = "GRAPHQL_VALIDATION_FAILED";
    let unparsable = "GRAPHQL_PARSE_FAILED";
    let huge_name = "x".repeat(200_000);
    vec![
        ("an unknown long name", document(format!("{{ {huge_name} }}")), invalid),
        ("a long alias", document(format!("{{ {huge_name}: __typename }}")), limit),
        (
            "a long string",
            document(format!(
                "{{ search(query: \"{}\") {{ nodes {{ id }} }} }}",
                "\\u0041".repeat(30_000)
            )),
            "",
        ),
        (
            "a long block string",
            document(format!("{{ book(id: \"\"\"{}\"\"\") {{ id }} }}", " \n".repeat(80_000))),
            "BAD_USER_INPUT",
        ),
        ("an unclosed string", document(format!("{{ a(b: \"{}", "x".repeat(200_000))), unparsable),
        (
            "a long number",
            document(format!("{{ books(first: {}) {{ nodes {{ id }} }} }}", "9".repeat(100_000))),
            invalid,
        ),
        ("a long comment", document(format!("# {}\n{{ __typename }}", "x".repeat(200_000))), ""),
        ("many commas", document(format!("{} {{ __typename }}", ",".repeat(200_000))), limit),
        ("null bytes", document("{ \0 __typename }"), unparsable),
        ("nothing but a bracket", document("{"), unparsable),
        ("a subscription", document("subscription { a }"), invalid),
        ("a schema", document("type Query { a: Int }"), invalid),
    ]
}
