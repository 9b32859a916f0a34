//! Status codes: of request errors, executed operations, older clients and faults of the service.

use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use testing::allowed;

use crate::{RESPONSE_JSON, Server, TYPENAME, code, send};

/// What is wrong with a request, the request, its status and its code.
type RequestError = (&'static str, RequestBuilder, u16, &'static str);

/// A request without data has the status of its error, and is not executed.
#[tokio::test]
async fn request_errors_have_their_status() {
    let server = Server::start(&[]).await;
    for (what, request, status, expected) in malformed(&server).into_iter().chain(invalid(&server))
    {
        let (answered, media_type, body) = send(request).await;
        assert_eq!((answered, code(&body)), (status, expected), "{what}: {body:#}");
        assert_eq!(media_type, "application/graphql-response+json; charset=utf-8", "{what}");
        assert!(body.get("data").is_none(), "{what}: {body}");
    }
}

/// What is no request of GraphQL over HTTP.
fn malformed(server: &Server) -> Vec<RequestError> {
    let large = " ".repeat(300_000);
    vec![
        ("no JSON", server.body("NONSENSE"), 400, "BAD_REQUEST"),
        ("JSON that breaks off", server.body("{\"query\":"), 400, "BAD_REQUEST"),
        ("no UTF-8", server.body(b"{\"query\":\"\xff\"}".to_vec()), 400, "BAD_REQUEST"),
        ("a typo", server.post(&json!({ "qeury": TYPENAME })), 422, "BAD_REQUEST"),
        ("no parameters", server.post(&json!({})), 422, "BAD_REQUEST"),
        ("a batch", server.body("[]"), 422, "BAD_REQUEST"),
        ("a string", server.body("\"{ __typename }\""), 422, "BAD_REQUEST"),
        ("a query that is a number", server.post(&json!({ "query": 7 })), 422, "BAD_REQUEST"),
        (
            "variables of the wrong shape",
            server.post(&json!({ "query": TYPENAME, "variables": [7] })),
            422,
            "BAD_REQUEST",
        ),
        (
            "an operation name that is a number",
            server.post(&json!({ "query": TYPENAME, "operationName": 7 })),
            422,
            "BAD_REQUEST",
        ),
        (
            "extensions that are a string",
            server.post(&json!({ "query": TYPENAME, "extensions": "x" })),
            422,
            "BAD_REQUEST",
        ),
        (
            "variables in the URL that are no JSON",
            server.get(&[("query", TYPENAME), ("variables", "{")]),
            422,
            "BAD_REQUEST",
        ),
        ("query twice", server.get(&[("query", "{a}"), ("query", "{b}")]), 422, "BAD_REQUEST"),
        ("too large", server.post(&json!({ "query": large })), 413, "LIMIT_EXCEEDED"),
    ]
}

/// Requests whose document, operation or variables cannot be executed.
fn invalid(server: &Server) -> Vec<RequestError> {
    let count = "query($n: Int) { books(first: $n) { totalCount } }";
    let complex = "{ authors(first: 100) { nodes { books(first: 100) { nodes { authors { \
                   books(first: 100) { nodes { title } } } } } } } }";
    vec![
        ("no GraphQL", server.post(&json!({ "query": "{" })), 400, "GRAPHQL_PARSE_FAILED"),
        (
            "unknown field",
            server.post(&json!({ "query": "{ nope }" })),
            422,
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "a conflict",
            server.post(&json!({ "query": "{ book(id: 1) { t: id } book(id: 1) { t: title } }" })),
            422,
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("too complex", server.post(&json!({ "query": complex })), 422, "LIMIT_EXCEEDED"),
        (
            "unknown operation",
            server.post(&json!({ "query": "query A { __typename }", "operationName": "B" })),
            422,
            "OPERATION_RESOLUTION_FAILURE",
        ),
        (
            "which operation",
            server.post(&json!({ "query": "query A { __typename } query B { __typename }" })),
            422,
            "OPERATION_RESOLUTION_FAILURE",
        ),
        (
            "a variable of the wrong type",
            server.post(&json!({ "query": count, "variables": { "n": "x" } })),
            422,
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "a missing variable",
            server.post(&json!({ "query": "query($i: ID!) { book(id: $i) { id } }" })),
            422,
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ]
}

#[tokio::test]
async fn executed_operations_are_200_or_294() {
    let server = Server::start(&["--lab"]).await;
    for (query, status, data) in [
        ("{ book(id: \"book_1\") { id } }", 200, json!({ "book": null })),
        (
            "{ a: __typename book(id: \"nonsense\") { id } }",
            294,
            json!({ "a": "Query", "book": null }),
        ),
        ("{ books(first: -1) { totalCount } }", 294, Value::Null),
        // Even a fault of the service: the operation was executed.
        (
            "{ __typename books(first: 1) { totalCount } ... { book(id: \"x\") { id } } }",
            294,
            json!({ "__typename": "Query", "books": { "totalCount": 0 }, "book": null }),
        ),
    ] {
        let (answered, media_type, body) = send(server.post(&json!({ "query": query }))).await;
        assert_eq!((answered, &body["data"]), (status, &data), "{query}: {body}");
        assert_eq!(media_type, "application/graphql-response+json; charset=utf-8");
        assert!(body.as_object().unwrap().contains_key("data"));
    }
    let body = json!({ "query": "{ book(id: \"x\") { id } }" }).to_string();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: {RESPONSE_JSON}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let response = server.raw(&head).await;
    assert!(response.starts_with("HTTP/1.1 294 Partial Success\r\n"), "{response}");
}

/// Clients that accept `application/json` only are older than the edition.
#[tokio::test]
async fn older_clients_get_200_for_their_mistakes() {
    let server = Server::start(&["--lab"]).await;
    let older = |body: Value| server.service.client.post(&server.url).json(&body);
    for (body, status, has_data) in [
        (json!({ "query": "{" }), 200, false),
        (json!({ "query": "{ nope }" }), 200, false),
        (json!({ "query": "query($i: ID!) { book(id: $i) { id } }" }), 200, false),
        (json!({ "query": "query A { __typename }", "operationName": "B" }), 200, false),
        (json!({ "query": "{ book(id: \"x\") { id } }" }), 200, true),
        (json!({ "query": "{ books(first: -1) { totalCount } }" }), 200, true),
        (json!({ "query": "{ labPanic }" }), 500, false),
        (json!({ "qeury": "{ __typename }" }), 422, false),
    ] {
        let (answered, media_type, answer) = send(older(body.clone())).await;
        assert_eq!(answered, status, "{body}: {answer}");
        assert_eq!(media_type, "application/json; charset=utf-8", "{body}");
        assert_eq!(answer.as_object().unwrap().contains_key("data"), has_data, "{body}: {answer}");
    }
}

#[tokio::test]
async fn requests_that_are_too_large_or_too_slow_have_their_status() {
    let server = Server::start(&["--request-timeout", "300ms"]).await;
    let long = "x".repeat(100_000);
    let uri = format!("GET /graphql?query={long} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let header = format!(
        "GET /graphql HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}{long}{long}{long}{long}\r\n\r\n"
    );
    let late = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    for (head, status) in [(&*uri, "414"), (&*header, "431"), (late, "408")] {
        let response = server.raw(head).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {response}");
        assert!(!response.contains(RESPONSE_JSON) || status == "408", "{response}");
    }
}

#[tokio::test]
async fn faults_of_the_service_have_their_status() {
    let server = Server::start(&["--lab", "--operation-timeout", "200ms"]).await;
    for (query, status, expected) in
        [("{ labPanic }", 500, "INTERNAL_SERVER_ERROR"), ("{ labSleep(ms: 5000) }", 504, "TIMEOUT")]
    {
        let (answered, _, body) = send(server.post(&json!({ "query": query }))).await;
        assert_eq!((answered, code(&body)), (status, expected), "{body}");
        assert!(body.get("data").is_none(), "{body}");
    }
}

#[tokio::test]
async fn survives_published_attacks() {
    let server = Server::start(&[]).await;
    let mut doubling = "{ ...f0 }".to_owned();
    for i in 0..30 {
        doubling += &format!(" fragment f{i} on Query {{ ...f{0} ...f{0} }}", i + 1);
    }
    doubling += " fragment f30 on Query { __typename }";
    let nested = format!("{{ nodes(ids: {}{}) {{ id }} }}", "[".repeat(3_000), "]".repeat(3_000));
    for kill in [doubling, nested] {
        for request in [server.post(&json!({ "query": kill })), server.get(&[("query", &kill)])] {
            let started = Instant::now();
            let (status, _, body) = send(request).await;
            assert_eq!((status, code(&body)), (422, "LIMIT_EXCEEDED"));
            assert!(started.elapsed() < allowed(Duration::from_millis(250)));
        }
    }
    let (open, close) = ("[".repeat(3_000), "]".repeat(3_000));
    let variables = format!(r#"{{"query":"{{ __typename }}","variables":{{"a":{open}{close}}}}}"#);
    assert_eq!(send(server.body(variables)).await.0, 400);
    server.service.data(TYPENAME, json!({})).await;
}
