//! Documents against the schema that is served.

use std::sync::LazyLock;

use async_graphql::{ServerError, Variables, parser::types::Selection};
use clap::Parser as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    config::Cli,
    graphql::{CatalogSchema, SchemaOptions, execution::documents::*},
};

static COMPILER: LazyLock<Compiler> = LazyLock::new(|| {
    let sdl = CatalogSchema::new(SchemaOptions { lab: false, introspection: true }).sdl();
    Compiler::new(&sdl, &limits(), true)
});

fn limits() -> DocumentLimits {
    Cli::parse_from(["colophon"]).settings.limits.documents
}

fn compile(text: &str) -> Result<Document, Rejection> {
    COMPILER.compile(text.to_owned(), &COMPILER.parse(text)?)
}

/// Prepares the first operation of a document.
pub fn prepare(text: &str, variables: Value) -> Result<PreparedOperation, Rejection> {
    let variables = Variables::from_json(variables);
    compile(text)?.operations()[0].prepare(COMPILER.schema(), &limits(), variables)
}

fn error(rejection: Rejection) -> Error {
    rejection.0[0].source::<Error>().unwrap().clone()
}

fn message<T>(result: Result<T, Rejection>) -> String {
    error(result.err().expect("it is rejected")).to_string()
}

fn code<T>(result: Result<T, Rejection>) -> Option<Code> {
    result.err().map(|rejection| error(rejection).code())
}

/// The operation that async-graphql gets, as text.
fn lowered(text: &str, variables: Value) -> String {
    fn write(set: &async_graphql::parser::types::SelectionSet, out: &mut String) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    if let Some(alias) = &field.alias {
                        *out += &format!("{}: ", alias.node);
                    }
                    *out += &field.name.node;
                    for (name, value) in &field.arguments {
                        *out += &format!("({}: {})", name.node, value.node);
                    }
                    write_set(&field.selection_set.node, out);
                }
                Selection::InlineFragment(fragment) => {
                    let condition = &fragment.node.type_condition.as_ref().unwrap().node.on.node;
                    *out += &format!("...{condition}");
                    write_set(&fragment.node.selection_set.node, out);
                }
                Selection::FragmentSpread(_) => panic!("a fragment"),
            }
            *out += " ";
        }
    }
    fn write_set(set: &async_graphql::parser::types::SelectionSet, out: &mut String) {
        if !set.items.is_empty() {
            *out += "{";
            write(set, out);
            *out = out.trim_end().to_owned() + "}";
        }
    }
    let mut request = prepare(text, variables).unwrap().request();
    let document = request.parsed_query().unwrap();
    let mut out = String::new();
    for (_, operation) in document.operations.iter() {
        write_set(&operation.node.selection_set.node, &mut out);
    }
    out
}

#[test]
fn selects_each_response_name_once_in_document_order() {
    for (text, expected) in [
        (
            "{ books(first: 1) { nodes { id } } books(first: 1) { nodes { title id } } }",
            "{books(first: 1){nodes{id title}}}",
        ),
        (
            "query { ...A a: __typename ...A ... { ...B } } fragment A on Query { author(id: 1) \
             { ...N id } } fragment N on Node { i: id } fragment B on Query { author(id: 1) { name } }",
            "{author(id: \"1\"){i: id id name} a: __typename}",
        ),
        (
            "{ node(id: \"x\") { id ... on Book { t: title } ... on Author { t: name id } } }",
            "{node(id: \"x\"){: __typename ...Author{id t: name} ...Book{id t: title}}}",
        ),
        ("{ book(id: 1) { id @skip(if: true) } }", "{book(id: \"1\"){: __typename}}"),
        ("{ a: __typename @include(if: false) }", "{: __typename}"),
    ] {
        assert_eq!(lowered(text, json!({})), expected, "{text}");
    }
}

#[test]
fn decides_conditions_by_variables_and_keeps_the_combinations() {
    let text = "query($a: Boolean!, $b: Boolean = true) { book(id: 1) { id @include(if: $a) \
                ... @skip(if: $b) { title id } } }";
    assert_eq!(lowered(text, json!({ "a": true })), "{book(id: \"1\"){id}}");
    let both = json!({ "a": false, "b": false });
    assert_eq!(lowered(text, both), "{book(id: \"1\"){title id}}");
    assert!(message(prepare(text, json!({ "a": true, "b": null }))).contains("$b"));

    let document = compile(text).unwrap();
    let operation = &document.operations()[0];
    for _ in 0..3 {
        for a in [true, false] {
            let variables = Variables::from_json(json!({ "a": a }));
            operation.prepare(COMPILER.schema(), &limits(), variables).unwrap();
        }
    }
    let MergedSelections::Conditional(conditional) = &operation.selections else { panic!() };
    assert_eq!(conditional.merged.lock().unwrap().len(), 2);
}

#[test]
fn leaves_out_arguments_whose_variables_have_no_value() {
    let text = "query($n: Int, $min: Int, $ids: [ID!]) { books(first: $n, filter: {year: {min: \
                $min, max: 5}}) { totalCount } }";
    let text = &text.replace(", $ids: [ID!]", "");
    assert_eq!(lowered(text, json!({})), "{books(filter: {year: {max: 5}}){totalCount}}");
    assert_eq!(
        lowered(text, json!({ "n": null, "min": 1 })),
        "{books(first: null)(filter: {year: {min: 1, max: 5}}){totalCount}}"
    );
}

#[test]
fn coerces_variables_at_every_depth() {
    let query = |ty: &str| format!("query($v: {ty}) {{ books(filter: $v) {{ totalCount }} }}");
    for (text, value, expected) in [
        ("query($v: [ID!]!) { nodes(ids: $v) { id } }", json!(7), "nodes(ids: [\"7\"])"),
        ("query($v: Int) { books(first: $v) { totalCount } }", json!(2.0), "first: 2"),
        (&query("BookFilter"), json!({ "pages": { "min": 1 } }), "{pages: {min: 1}}"),
    ] {
        assert!(lowered(text, json!({ "v": value })).contains(expected), "{text}");
    }
    let time = "query($v: DateTime) { books(filter: {created: {from: $v}}) { totalCount } }";
    for (text, value, expected) in [
        (&*query("BookFilter"), json!({ "pages": { "min": "1" } }), "\"v.pages.min\""),
        (&query("BookFilter"), json!({ "page": 1 }), "\"page\" is not defined"),
        (&query("BookFilter"), json!([]), "found a list"),
        ("query($v: Int) { books(first: $v) { totalCount } }", json!(2.5), "32 bits"),
        ("query($v: Int) { books(first: $v) { totalCount } }", json!(1_i64 << 40), "32 bits"),
        ("query($v: ID!) { book(id: $v) { id } }", json!(true), "found a boolean"),
        ("query($v: [ID!]!) { nodes(ids: $v) { id } }", json!(["a", null]), "\"v.1\""),
        ("query($v: BookOrder) { books(orderBy: $v) { totalCount } }", json!({}), "\"field\""),
        (
            "query($v: BookOrder) { books(orderBy: $v) { totalCount } }",
            json!({ "field": "X" }),
            "no such value",
        ),
        (time, json!("yesterday"), "DateTime"),
        (
            "mutation($v: CreateBookInput!) { createBook(input: $v) { id } }",
            json!({ "title": "x", "authors": [{ "id": "a", "name": "b" }] }),
            "Exactly one field",
        ),
    ] {
        let rejected = message(prepare(text, json!({ "v": value })));
        assert!(rejected.contains(expected), "{text} {value}: {rejected}");
    }
    let missing = prepare("query($v: ID!) { book(id: $v) { id } }", json!({}));
    assert_eq!(code(missing), Some(Code::GraphqlValidationFailed));
}

/// A custom scalar without a check would take any value.
#[test]
fn every_custom_scalar_is_checked() {
    let types = COMPILER.schema().types.values();
    for ty in types.filter(|ty| ty.is_scalar() && !ty.is_built_in()) {
        let checked = variables::check_custom_scalar(ty.name(), &"no such value".into()).is_err();
        assert!(checked, "add {} to check_custom_scalar", ty.name());
    }
}

#[test]
fn rejects_what_the_library_does_not() {
    for text in [
        "{ books(filter: {year: {min: 1, min: 2}}) { totalCount } }",
        "{ nodes(ids: [\"a\"]) { id } nodes(ids: [\"a\", \"b\"]) { id } }",
        "query($v: ID) { nodes(ids: [$v]) { id } }",
        "query($v: [ID]) { nodes(ids: $v) { id } }",
        "query($v: [ID!] = null) { nodes(ids: $v) { id } }",
        "mutation { createBook(input: {title: \"x\", authors: {}}) { id } }",
        "mutation { createBook(input: {title: \"x\", authors: {id: null}}) { id } }",
        "mutation { createBook(input: {title: \"x\", authors: {id: 1, name: \"y\"}}) { id } }",
        "mutation($v: ID) { createBook(input: {title: \"x\", authors: {id: $v}}) { id } }",
        "mutation($v: String) { createBook(input: {title: $v}) { id } }",
        "{ books(filter: {created: {from: \"yesterday\"}}) { totalCount } }",
        "query($v: CreateBookInput! = {title: \"x\", authors: {}}) { __typename }",
        "query Q { ...F } fragment F on Query { books(filter: {year: {min: 1, min: 1}}) { totalCount } }",
    ] {
        assert_eq!(code(compile(text)), Some(Code::GraphqlValidationFailed), "{text}");
    }
    for text in [
        "query($v: [ID!] = []) { nodes(ids: $v) { id } }",
        "query($v: ID!) { nodes(ids: [$v]) { id } }",
        "query($v: ID!) { nodes(ids: $v) { id } }".replace("$v: ID!", "$v: [ID!]!").as_str(),
        "mutation($v: ID!) { createBook(input: {title: \"x\", authors: {id: $v}}) { id } }",
        "{ books(first: 1) { totalCount } books(first: 1) { nodes { id } } }",
    ] {
        assert_eq!(code(compile(text)), None, "{text}");
    }
}

#[test]
fn every_limit_has_its_error() {
    let many = |n: usize, part: &str| part.repeat(n);
    let books = |n: usize| "books { nodes { authors { ".repeat(n);
    let deep = format!("{{ author(id: 1) {{ {} name {} }}", books(3), many(10, "}"));
    for (document, what) in [
        (format!("{{{}}}", many(5_000, " __typename")), "tokens"),
        (format!("{{ nodes(ids: {}1{}) {{ id }} }}", many(40, "["), many(40, "]")), "nesting"),
        (deep, "levels of fields"),
        (format!("{{{}}}", many(21, " __typename")), "root fields"),
        (format!("{{book(id: 1){{{}}}}}", many(31, " b:id")), "aliases"),
        (format!("{{{}: __typename}}", many(257, "a")), "bytes in a name"),
        (format!("{{book(id: 1){{{}}}}}", many(51, " id@skip(if:true)")), "directives"),
    ] {
        let rejected = message(compile(&document));
        assert!(rejected.contains(what), "{what}: {rejected} {document}");
    }
}

#[test]
fn counts_fragments_as_expanded() {
    let mut doubling = "{ ...f0 } fragment f30 on Query { __typename }".to_owned();
    for i in 0..30 {
        doubling += &format!(" fragment f{i} on Query {{ ...f{0} ...f{0} }}", i + 1);
    }
    assert!(message(compile(&doubling)).contains("10000"));
    let cycle = "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }";
    assert_eq!(code(compile(cycle)), Some(Code::GraphqlValidationFailed));
}

#[test]
fn limits_introspection_separately() {
    let deep = "{ofType".repeat(12) + "{name}" + &"}".repeat(12);
    assert_eq!(code(compile(&format!("{{ __schema {{ types {deep} }} }}"))), None);
    let types = |inside: &str| format!("__schema {{ types {{ {inside} }} }}");
    let twice = "fields { type { fields { name } } }";
    assert_eq!(code(compile(&format!("{{ {} }}", types(twice)))), None);
    let fragments = "fragment f on __Type { fields { type { ...g } } } \
                     fragment g on __Type { interfaces { inputFields { name } } }";
    for document in [
        format!("{{ {} }}", types("fields { type { fields { type { fields { name } } } } }")),
        format!("{{ {} }}", types("possibleTypes { interfaces { possibleTypes { name } } }")),
        format!("{{ {} }} {fragments}", types("...f")),
        format!("{{ __type(name: \"Book\") {{ ...f }} }} {fragments}"),
    ] {
        assert!(message(compile(&document)).contains("in each other"), "{document}");
    }
    let wide = (0..25).fold(String::new(), |all, i| format!("{all} a{i}: {twice}"));
    let wide = format!("{{ {} }}", types(&wide));
    assert!(message(compile(&wide)).contains("values of introspection"), "{wide}");
}

#[test]
fn complexity_counts_items_by_arguments_and_variables() {
    let complexity = |text: &str, variables: Value, max: usize| {
        let limits = DocumentLimits { max_complexity: max, ..limits() };
        let variables = Variables::from_json(variables);
        let document = compile(text).unwrap();
        code(document.operations()[0].prepare(COMPILER.schema(), &limits, variables)).is_none()
    };
    let list = "query($n: Int) { books(first: $n) { nodes { id title } } }";
    for (text, variables, expected) in [
        ("{ __typename }", json!({}), 1),
        (list, json!({ "n": 10 }), 31),
        (list, json!({}), 61),
        (list, json!({ "n": 1000 }), 301),
        ("{ books(last: 2) { nodes { id } } }", json!({}), 5),
        ("{ nodes(ids: [1, 2, 3]) { id ... on Book { title } } }", json!({}), 7),
        ("{ book(id: 1) { authors { name } } }", json!({}), 3),
    ] {
        assert!(complexity(text, variables.clone(), expected), "{text} {variables}");
        assert!(!complexity(text, variables.clone(), expected - 1), "{text} {variables}");
    }
}

#[test]
fn counts_variables_like_literals() {
    // What the engine says of their memory.
    assert_eq!(size_of::<async_graphql::Value>(), 72);
    let check = |json: Value| limits().check_variables(&Variables::from_json(json));
    assert!(check(json!({ "ids": vec!["a"; 9_000], "x": { "y": [null] } })).is_ok());
    let many = check(json!({ "ids": vec!["a"; 10_001] })).unwrap_err();
    assert!(many.to_string().contains("values of variables"), "{many}");
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let deep = check(json!({ "x": deep })).unwrap_err();
    assert!(deep.to_string().contains("nesting"), "{deep}");
}

#[test]
fn finds_operations_by_name() {
    let one = compile("query A { __typename }").unwrap();
    assert_eq!(one.operation(None).unwrap().name.as_deref(), Some("A"));
    assert_eq!(one.operation(Some("A")).unwrap().name.as_deref(), Some("A"));
    assert!(one.operation(Some("B")).is_err());
    assert_eq!(compile("{ __typename }").unwrap().operation(None).unwrap().name, None);
    let two = compile("query A { __typename } query B { book(id: 1) { id } }").unwrap();
    assert!(two.operation(None).is_err());
    assert_eq!(two.operation(Some("B")).unwrap().root_field, "Query.book");
}

#[test]
fn ids_are_hashes_or_names() {
    let hash = Hash::of("{ a }");
    assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
    assert_eq!(DocumentId::parse(&hash.to_string()), DocumentId::Hash(hash));
    assert_eq!(DocumentId::parse(&format!("sha256:{hash}")), DocumentId::Hash(hash));
    for other in ["", "sha256:", "books.v1", &"é".repeat(32), &"+1".repeat(32)] {
        assert_eq!(DocumentId::parse(other), DocumentId::Other(other.to_owned()));
    }
}

#[test]
fn limits_the_number_of_labels() {
    let names = ["A", "B", "C"].map(|name| format!("query {name} {{ __typename }}")).join(" ");
    let mut three = compile(&names).unwrap();
    assert_eq!(three.label(2), 0);
    assert_eq!(three.operations().iter().filter(|it| it.label.is_some()).count(), 2);
    assert_eq!(compile("{ __typename }").unwrap().label(2), 2, "it has no name");
}

/// Pieces of documents, well formed and not.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: [&str; 42] = [
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
        "@include(if: $v)",
        "($v: Boolean!)",
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
        "#",
        "\n",
        "\r",
        ",",
        "\u{feff}",
        "\0",
        "é",
        "-",
        "1e9",
        "__schema",
        "__typename",
        "book(id: 1) { id }",
        "books { nodes { id authors { name } } }",
        "{ ...f0 } fragment f0 on Query { ...f1 ...f1 } fragment f1 on Query { __typename }",
        "[[[[[[[[[[[[[[[[[[[[",
        "\"\\u0041\\n\"",
        "\"\\ud83d\\ude00 \\u{1F600}\"",
        "\"\"\" block \\\"\"\" string \"\"\"",
    ];
    let piece = prop_oneof![
        prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
        "\\PC{0,8}",
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn any_text_is_compiled_or_rejected(text in pieces()) {
        if let Ok(document) = compile(&text) {
            for operation in document.operations() {
                let variables = Variables::from_json(json!({ "v": true }));
                let prepared = operation.prepare(COMPILER.schema(), &limits(), variables);
                let _ = prepared.map(|prepared| prepared.request());
            }
        }
        let _ = redact::without_literals(&text);
    }
}

#[test]
fn errors_say_where() {
    let Rejection(errors) = compile("{\n  nothing\n}").err().unwrap();
    let locations = |error: &ServerError| error.locations.clone();
    assert_eq!(locations(&errors[0])[0].line, 2);
    assert_eq!(locations(&errors[0])[0].column, 3);
    let Rejection(errors) = compile("{ é }").err().unwrap();
    assert_eq!(code::<()>(Err(Rejection(errors))), Some(Code::GraphqlParseFailed));
}
