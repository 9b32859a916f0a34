//! Documents whose fragments multiply.

use super::{Case, document, many};

/// Fragments that are many, or spread each other.
pub fn chains() -> Vec<Case> {
    let limit = "LIMIT_EXCEEDED";
    let invalid = "GRAPHQL_VALIDATION_FAILED";
    let doubling = many(30, |i| format!(" fragment f{i} on Query {{ ...f{0} ...f{0} }}", i + 1));
    let chain = many(600, |i| format!(" fragment f{i} on Query {{ ...f{} }}", i + 1));
    vec![
        (
            "doubling fragments",
            document(format!("{{ ...f0 }} {doubling} fragment f30 on Query {{ __typename }}")),
            limit,
        ),
        ("chained fragments", document(format!("{{ ...f0 }} {chain}")), invalid),
        ("unused chained fragments", document(format!("{{ __typename }} {chain}")), invalid),
        (
            "a fragment cycle",
            document("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }"),
            invalid,
        ),
        (
            "many fragments",
            document(many(700, |i| format!("fragment f{i} on Query {{ a }} "))),
            invalid,
        ),
    ]
}

/// Fragments that are more than they seem.
pub fn webs() -> Vec<Case> {
    let limit = "LIMIT_EXCEEDED";
    let invalid = "GRAPHQL_VALIDATION_FAILED";
    let fragment = |i: usize, body: &str| format!(" fragment f{i} on Query {{ {body} }}");
    let spreads =
        |from: usize, to: usize| (from..to).fold(String::new(), |all, i| format!("{all}...f{i} "));
    let web = many(50, |i| fragment(i, &spreads(0, 50)));
    let acyclic = many(60, |i| fragment(i, &format!("__typename {}", spreads(i + 1, 60))));
    let paths = many(30, |i| {
        let next = format!("books {{ nodes {{ authors {{ ...f{} }} }} }}", i + 1);
        format!(" fragment f{i} on Author {{ a: {next} b: {next} }}")
    });
    let deep = |count: usize| {
        let inside = |i| format!("{}...f{}{}", "...{".repeat(10), i + 1, "}".repeat(10));
        let chain = many(count, |i| fragment(i, &inside(i)));
        document(format!("{{ ...f0 }} {chain} {}", fragment(count, "__typename")))
    };
    let conflicting = many(142, |i| format!("x: book(id: {i}) {{ id }} "));
    let nested =
        many(100, |i| format!("book(id: 1) {{ x: title ...on Book {{ x: id, y{i}: id }} }} "));
    let conditions = many(900, |_| "...on Node { ...on Book { id } } ".into());
    let same = many(60, |i| format!("query q{i} {{ ...f0 }} "));
    let large = fragment(0, &many(600, |i| format!("a{i}: __typename ")));
    vec![
        ("fragments that contain each other", document(format!("{{ ...f0 }} {web}")), invalid),
        ("an acyclic web of fragments", document(format!("{{ ...f0 }} {acyclic}")), limit),
        (
            "paths that double",
            document(format!(
                "{{ author(id: 1) {{ ...f0 }} }} {paths} fragment f30 on Author {{ id }}"
            )),
            limit,
        ),
        ("a chain of deep fragments that is too long", deep(98), invalid),
        ("a chain of deep fragments", deep(40), limit),
        ("ten thousand conflicting pairs", document(format!("{{ {conflicting} }}")), invalid),
        ("conflicts in each other", document(format!("{{ {nested} }}")), invalid),
        (
            "a chain of type conditions",
            document(format!("{{ {}__typename{} }}", "...on Query {".repeat(500), "}".repeat(500))),
            limit,
        ),
        (
            "many type conditions",
            document(format!("{{ node(id: \"book_1\") {{ {conditions} }} }}")),
            "",
        ),
        ("operations that share a large fragment", document(same + &large), limit),
    ]
}
