//! Values in documents and in variables, and bodies that are no request.

use super::{Case, document, many};

/// Documents whose values are more than they need to be.
pub fn literals() -> Vec<Case> {
    let invalid = "GRAPHQL_VALIDATION_FAILED";
    let unknown = many(1_500, |i| format!("u{i}: 1 "));
    let again = many(1_500, |_| "min: 1 ".into());
    let authors = many(1_200, |_| "{name: \"x\"} ".into());
    let conditions = many(50, |i| format!("a{i}: __typename @include(if: $v{i}) "));
    let variables = many(50, |i| format!("$v{i}: Boolean = true "));
    vec![
        (
            "an input object of unknown fields",
            document(format!("{{ books(filter: {{ {unknown} }}) {{ totalCount }} }}")),
            invalid,
        ),
        (
            "an input field again and again",
            document(format!("{{ books(filter: {{ year: {{ {again} }} }}) {{ totalCount }} }}")),
            invalid,
        ),
        (
            "a long list of input objects",
            document(format!(
                "mutation {{ createBook(input: {{ title: \"x\", authors: [{authors}] }}) {{ id }} }}"
            )),
            "BAD_USER_INPUT",
        ),
        (
            "many conditions",
            document(format!("query({variables}) {{ {conditions} }}")),
            "LIMIT_EXCEEDED",
        ),
    ]
}

/// Bodies that are no request, or whose variables are out of all proportion.
pub fn requests() -> Vec<Case> {
    let bad = "BAD_REQUEST";
    let limit = "LIMIT_EXCEEDED";
    let with = |variables: String| {
        format!(r#"{{"query":"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ id }} }}","variables":{variables}}}"#)
            .into_bytes()
    };
    let ids = many(60_000, |i| if i == 0 { "\"a\"".into() } else { ",\"a\"".into() });
    vec![
        ("bad UTF-8", b"{\"query\":\"{ \xff\xfe }\"}".to_vec(), bad),
        ("half a surrogate", br#"{"query":"{ a(b: \"\ud800\") }"}"#.to_vec(), bad),
        ("a batch", b"[{\"query\":\"{ __typename }\"}]".to_vec(), bad),
        ("nested JSON", [b"[".repeat(100_000), b"]".repeat(100_000)].concat(), bad),
        ("a number", b"7".to_vec(), bad),
        ("nothing", Vec::new(), bad),
        ("a query that is a number", br#"{"query":7}"#.to_vec(), bad),
        ("a query that is a list", br#"{"query":["{ __typename }"]}"#.to_vec(), bad),
        (
            "variables that are a list",
            br#"{"query":"{ __typename }","variables":[1]}"#.to_vec(),
            bad,
        ),
        ("many values", with(format!(r#"{{"ids":[{ids}]}}"#)), limit),
        (
            "deep values",
            with(format!(r#"{{"ids":{}1{}}}"#, "[".repeat(100), "]".repeat(100))),
            limit,
        ),
        ("a huge number", with(r#"{"ids":[1e308]}"#.into()), "GRAPHQL_VALIDATION_FAILED"),
        ("a number beyond all", with(r#"{"ids":[1e999]}"#.into()), bad),
        (
            "values of the wrong kind",
            with(r#"{"ids":{"a":null}}"#.into()),
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ]
}
