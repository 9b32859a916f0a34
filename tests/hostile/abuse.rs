//! Each hostile request is answered soon, with a code and without a word of the inside; meanwhile
//! others notice nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::{Db, Service, probe::Probe};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{code, post, send};

/// How soon a response must be there; a debug build takes some ten times as long as a release build.
const SOON: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_500 } else { 250 });

fn many(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect()
}

fn document(text: impl Into<String>) -> Vec<u8> {
    json!({ "query": text.into() }).to_string().into_bytes()
}

/// Bodies, each with what it is and the codes it may get. No code: a response with data.
fn bodies() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut bodies = documents();
    bodies.extend(fragments());
    bodies.extend(values());
    bodies.extend(requests());
    bodies
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn documents() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let nested = |open: &str, close: &str, n: usize| open.repeat(n) + &close.repeat(n);
    let limit = "LIMIT_EXCEEDED";
    let invalid = "GRAPHQL_VALIDATION_FAILED";
    let unparsable = "GRAPHQL_PARSE_FAILED";
    let conflicts = many(800, |i| format!("title(x: {i}) "));
    let merged = "title ".repeat(4_000);
    let doubling = many(30, |i| format!(" fragment f{i} on Query {{ ...f{0} ...f{0} }}", i + 1));
    let chain = many(600, |i| format!(" fragment f{i} on Query {{ ...f{} }}", i + 1));
    let cyclic = "fields{type{".repeat(6) + "name" + &"}}".repeat(6);
    let aliased = many(25, |i| format!("a{i}: fields {{ type {{ fields {{ name }} }} }} "));
    let huge_name = "x".repeat(200_000);
    vec![
        ("deep", document("{a".repeat(2_000)), limit),
        ("deep lists", document(format!("{{ nodes(ids: {}) }}", nested("[", "]", 9_000))), limit),
        ("deep objects", document("{ a(b: ".to_owned() + &"{a:".repeat(9_000)), limit),
        ("deep types", document(format!("query($a: {}) {{ a }}", nested("[", "]", 90))), limit),
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
        ("an unknown long name", document(format!("{{ {huge_name} }}")), invalid),
        ("a long alias", document(format!("{{ {huge_name}: __typename }}")), limit),
        (
            "conflicting fields",
            document(format!("{{ books(first: 1) {{ nodes {{ {conflicts} }} }} }}")),
            invalid,
        ),
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

/// Documents whose fragments are more than they seem.
fn fragments() -> Vec<(&'static str, Vec<u8>, &'static str)> {
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

/// Documents whose values are more than they need to be.
fn values() -> Vec<(&'static str, Vec<u8>, &'static str)> {
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

fn requests() -> Vec<(&'static str, Vec<u8>, &'static str)> {
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

/// What must be in no answer.
const INSIDE: [&str; 9] =
    ["SELECT ", "sqlx", "sqlite", "/src/", ".rs", "panicked", "serde", "async_graphql", "::"];

/// What is wrong with the response to a request, and how long it took.
async fn check(service: &Service, body: Vec<u8>, expected: &str) -> (Option<String>, Duration) {
    let mut took = Duration::MAX;
    // The machine may be busy with something else once.
    for _ in 0..3 {
        let started = Instant::now();
        let (status, answer) = send(post(service, body.clone())).await;
        took = started.elapsed().min(took);
        let mut text = answer.to_string();
        text.truncate(text.floor_char_boundary(300));
        let told = answer["errors"].to_string();
        let is_right = expected.is_empty() || code(&answer) == expected;
        let is_short = answer["errors"].as_array().is_none_or(|all| all.len() <= 51);
        let is_masked = !INSIDE.iter().any(|part| told.contains(part));
        if !(is_right && is_short && is_masked && status.as_u16() < 500) {
            return (Some(format!("{status} {text}")), took);
        }
        if took < SOON {
            return (None, took);
        }
    }
    (Some("late".to_owned()), took)
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_are_answered_soon_and_nobody_else_notices() {
    let service = Db::sqlite().serve_with(&["--sample"]).await;
    let probe = Probe::start(&service);
    let (mut wrong, mut times) = (Vec::new(), Vec::new());
    for (what, body, expected) in bodies() {
        let (error, took) = check(&service, body, expected).await;
        wrong.extend(error.map(|error| format!("{what} took {took:?}: {error}")));
        times.push((took, what));
    }
    times.sort();
    println!("slowest: {:?}", times.iter().rev().take(8).collect::<Vec<_>>());
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The time it takes is that of an optimised build.
    if cfg!(debug_assertions) {
        let answers = probe.answers().await;
        assert!(answers.iter().all(testing::probe::Answer::is_good), "{answers:?}");
    } else {
        probe.saw_nothing().await;
    }
    let scrape = service.scrape().await;
    let refused = |code: &str| {
        let series = format!("graphql_server_errors_total{{error_type=\"{code}\"");
        scrape.lines().any(|line| line.starts_with(&series) && !line.ends_with(" 0"))
    };
    for code in
        ["LIMIT_EXCEEDED", "BAD_REQUEST", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"]
    {
        assert!(refused(code), "{code} is not counted");
    }
}

/// A body that announces itself as too large is rejected before it is sent, whatever it is.
#[tokio::test]
async fn a_large_body_is_refused_and_its_client_gets_to_know() {
    let service = Db::sqlite().serve().await;
    for headers in
        ["Content-Type: text/plain", "Content-Type: application/json\r\nContent-Encoding: gzip"]
    {
        let mut socket =
            TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nHost: localhost\r\n{headers}\r\nContent-Length: 10000000\r\n\r\n"
        );
        let started = Instant::now();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        // And closed soon, since nobody waits for the rest.
        let mut rest = String::new();
        socket.read_to_string(&mut rest).await.unwrap();
        assert!(rest.contains("LIMIT_EXCEEDED"), "{rest}");
        assert!(started.elapsed() < SOON + Duration::from_secs(2), "{:?}", started.elapsed());
    }
    // Without an announcement it is kept as far as the limit and not on.
    let mut socket = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n989680\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b' '; 10_000_000]).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let bomb = post(&service, vec![0x1f; 1_000]).header("content-encoding", "gzip");
    let (status, answer) = send(bomb).await;
    assert_eq!((status.as_u16(), code(&answer)), (415, "UNSUPPORTED_MEDIA_TYPE"));
}

/// Values at and beyond the edge of what can be: a mistake of the client, and never a fault.
#[tokio::test]
async fn extremes_are_no_faults() {
    let service = Db::sqlite().serve_with(&["--sample"]).await;
    let mut asked: Vec<(String, Value)> = Vec::new();
    for id in
        ["book_9223372036854775807", "book_9223372036854775808", "book_-1", "", "é", "author_1_1"]
    {
        asked.push(("query($id: ID!) { node(id: $id) { id } }".into(), json!({ "id": id })));
        asked.push(("mutation($id: ID!) { deleteBook(id: $id) }".into(), json!({ "id": id })));
    }
    for cursor in ["", "AAAA", "!!!!", &"A".repeat(10_000), "bnVsbA"] {
        let query = "query($c: String!) { books(first: 1, after: $c) { nodes { id } } }";
        asked.push((query.into(), json!({ "c": cursor })));
    }
    for number in [
        json!(i32::MIN),
        json!(i32::MAX),
        json!(2_147_483_648_i64),
        json!(u64::MAX),
        json!(1e300),
        json!(-0.5),
    ] {
        let query = "query($n: Int) { books(first: $n) { nodes { id } } }";
        asked.push((query.into(), json!({ "n": number })));
        let create = "mutation($n: Int) { createBook(input: { title: \"x\", publishedYear: $n, pages: $n }) { id publishedYear } }";
        asked.push((create.into(), json!({ "n": number })));
    }
    for (query, variables) in asked {
        let answer = service.execute(&query, variables.clone()).await;
        let code = code(&answer);
        let is_mistake =
            ["", "BAD_USER_INPUT", "NOT_FOUND", "GRAPHQL_VALIDATION_FAILED"].contains(&code);
        assert!(is_mistake, "{query} {variables}: {answer}");
    }
}

#[tokio::test]
async fn a_resolver_that_panics_is_one_masked_error() {
    let service = Db::sqlite().serve_with(&["--lab"]).await;
    let pid = service.pid();
    let body = document("{ labPanic books { totalCount } }");
    let (status, answer) = send(post(&service, body)).await;
    assert_eq!((status.as_u16(), code(&answer)), (500, "INTERNAL_SERVER_ERROR"));
    assert!(!answer.to_string().contains("laboratory"), "{answer}");
    service.data("{ books { totalCount } }", json!({})).await;
    assert_eq!(service.pid(), pid);
}
