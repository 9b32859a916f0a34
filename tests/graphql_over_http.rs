//! GraphQL over HTTP, September 2026 edition, clause by clause. `docs/graphql-over-http.md` says which
//! test is about which clause.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use testing::{Db, Service, allowed, repository};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const RESPONSE_JSON: &str = "application/graphql-response+json";
const TYPENAME: &str = "{ __typename }";

/// A service, and where it is.
struct Server {
    service: Service,
    url: String,
}

impl Server {
    async fn start(arguments: &[&str]) -> Self {
        let service = Db::sqlite().serve_with(arguments).await;
        let url = format!("{}/graphql", service.url);
        Self { service, url }
    }

    fn request(&self, method: Method) -> RequestBuilder {
        self.service.client.request(method, &self.url).header("accept", RESPONSE_JSON)
    }

    fn post(&self, body: &Value) -> RequestBuilder {
        self.request(Method::POST).json(body)
    }

    fn body(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST).header("content-type", "application/json").body(body)
    }

    fn get(&self, parameters: &[(&str, &str)]) -> RequestBuilder {
        self.request(Method::GET).query(parameters)
    }

    /// Sends a head of a request as it is, and reads the status line of the response.
    async fn raw(&self, head: &str) -> String {
        let address = self.service.url.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut response = [0; 512];
        let read = socket.read(&mut response).await.unwrap();
        String::from_utf8_lossy(&response[..read]).into_owned()
    }
}

/// The status, the media type and the body of a response.
async fn send(request: RequestBuilder) -> (u16, String, Value) {
    let response = request.send().await.unwrap();
    let (status, media_type) = (response.status().as_u16(), content_type(&response));
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {status} {text}"));
    (status, media_type, body)
}

fn content_type(response: &Response) -> String {
    response.headers().get("content-type").map_or("", |it| it.to_str().unwrap()).to_owned()
}

fn code(body: &Value) -> &str {
    body["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn one_url_serves_queries_and_mutations_by_post() {
    let server = Server::start(&[]).await;
    let (status, media_type, body) = send(server.post(&json!({ "query": TYPENAME }))).await;
    assert_eq!((status, body), (200, json!({ "data": { "__typename": "Query" } })));
    assert_eq!(media_type, "application/graphql-response+json; charset=utf-8");
    let mutation = "mutation { createBook(input: { title: \"Ä\" }) { title } }";
    let (status, _, body) = send(server.post(&json!({ "query": mutation }))).await;
    assert_eq!((status, &body["data"]["createBook"]["title"]), (200, &json!("Ä")));
}

#[tokio::test]
async fn the_media_type_is_negotiated() {
    let server = Server::start(&[]).await;
    let json = "application/json; charset=utf-8";
    let response_json = "application/graphql-response+json; charset=utf-8";
    for (accept, status, media_type) in [
        (Some(RESPONSE_JSON), 200, response_json),
        (Some("application/graphql-response+json; charset=utf-8"), 200, response_json),
        (Some("application/graphql-response+json, application/json;q=0.9"), 200, response_json),
        (Some("application/json;q=0.9, application/graphql-response+json"), 200, response_json),
        (Some("application/graphql-response+json;q=0.5, application/json"), 200, json),
        (Some("application/json;Q=0.5, application/graphql-response+json;Q=0.1"), 200, json),
        (Some("application/json"), 200, json),
        (Some("text/html, application/json"), 200, json),
        (Some("*/*"), 200, json),
        (None, 200, json),
        (Some("text/html"), 406, json),
        (Some("application/xml, text/*"), 406, json),
    ] {
        let request = server.service.client.post(&server.url).json(&json!({ "query": TYPENAME }));
        let request = match accept {
            Some(accept) => request.header("accept", accept),
            None => request,
        };
        let (answered, found, _) = send(request).await;
        assert_eq!((answered, &*found), (status, media_type), "{accept:?}");
    }
}

#[tokio::test]
async fn a_body_is_json_in_utf_8() {
    let server = Server::start(&[]).await;
    let typename = json!({ "query": TYPENAME }).to_string();
    let request = |content_type: &str| {
        let request = server.request(Method::POST).body(typename.clone());
        if content_type.is_empty() { request } else { request.header("content-type", content_type) }
    };
    for (content_type, status) in [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json; charset=\"UTF-8\"", 200),
        ("application/json; charset=latin1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/graphql", 415),
        ("", 415),
    ] {
        let (answered, _, body) = send(request(content_type)).await;
        assert_eq!(answered, status, "{content_type}: {body}");
        let expected = if status == 200 { "" } else { "UNSUPPORTED_MEDIA_TYPE" };
        assert_eq!(code(&body), expected, "{content_type}");
    }
    let gzip = request("application/json").header("content-encoding", "gzip");
    assert_eq!(send(gzip).await.0, 415);
}

#[tokio::test]
async fn parameters_are_read_from_json() {
    let server = Server::start(&[]).await;
    let two = "query A { a: __typename } query B { b: __typename }";
    for (body, data) in [
        (json!({ "query": two, "operationName": "B" }), json!({ "b": "Query" })),
        // Null is as if it were not there, and what nobody knows is ignored.
        (
            json!({ "query": TYPENAME, "operationName": null, "variables": null, "extensions": null }),
            json!({ "__typename": "Query" }),
        ),
        (json!({ "query": TYPENAME, "more": [1], "id": "x" }), json!({ "__typename": "Query" })),
        (
            json!({ "query": TYPENAME, "variables": {}, "extensions": { "a": 1 } }),
            json!({ "__typename": "Query" }),
        ),
        // As PHP writes an empty map.
        (json!({ "query": TYPENAME, "variables": [] }), json!({ "__typename": "Query" })),
        (
            json!({ "query": "query($i: ID!) { book(id: $i) { id } }", "variables": { "i": "book_1" } }),
            json!({ "book": null }),
        ),
    ] {
        let (status, _, answer) = send(server.post(&body)).await;
        assert_eq!((status, &answer), (200, &json!({ "data": data })), "{body}");
    }
    let marked = format!("\u{feff}{}", json!({ "query": "\u{feff}{ __typename }" }));
    assert_eq!(send(server.body(marked)).await.0, 200);
}

#[tokio::test]
async fn parameters_are_read_from_the_url() {
    let server = Server::start(&[]).await;
    let query = "query null($i: ID!) { book(id: $i) { id } } query B { b: __typename }";
    let variables = r#"{"i":"book_1"}"#;
    for (parameters, data) in [
        (vec![("query", TYPENAME)], json!({ "__typename": "Query" })),
        (
            vec![("query", query), ("operationName", "null"), ("variables", variables)],
            json!({ "book": null }),
        ),
        (
            vec![("query", TYPENAME), ("operationName", ""), ("variables", ""), ("extensions", "")],
            json!({ "__typename": "Query" }),
        ),
        (vec![("query", TYPENAME), ("more", "x")], json!({ "__typename": "Query" })),
    ] {
        let (status, _, answer) = send(server.get(&parameters)).await;
        assert_eq!((status, &answer), (200, &json!({ "data": data })), "{parameters:?}");
    }
    // A plus is a space.
    let url = format!("{}?query=query+Q+%7B+a%3A__typename+%7D", server.url);
    let (status, _, body) = send(server.service.client.get(url)).await;
    assert_eq!((status, &body["data"]["a"]), (200, &json!("Query")));
    let head = server.service.client.head(&server.url).query(&[("query", TYPENAME)]).send().await;
    assert_eq!(head.unwrap().status(), 200);
    // Our one departure: a page of another site can make a browser send this.
    let plain = reqwest::Client::new().get(&server.url).query(&[("query", TYPENAME)]);
    assert_eq!(send(plain).await.0, 400);
}

#[tokio::test]
async fn mutations_by_get_and_other_methods_are_rejected() {
    let server = Server::start(&[]).await;
    let mutation =
        "query A { __typename } mutation B { createBook(input: { title: \"x\" }) { id } }";
    let request = server.get(&[("query", mutation), ("operationName", "B")]);
    let response = request.send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"POST".parse().unwrap())
    );
    assert_eq!(content_type(&response), "application/graphql-response+json; charset=utf-8");
    let (status, _, _) = send(server.get(&[("query", mutation), ("operationName", "A")])).await;
    assert_eq!(status, 200);
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let request = server.request(method.clone()).json(&json!({ "query": TYPENAME }));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers()["allow"], "GET, POST", "{method}");
    }
    assert_eq!(
        server.service.data("{ books { totalCount } }", json!({})).await["books"]["totalCount"],
        0
    );
}

/// A request without data has the status of its error, and is not executed.
#[tokio::test]
async fn request_errors_have_their_status() {
    let server = Server::start(&[]).await;
    let count = "query($n: Int) { books(first: $n) { totalCount } }";
    let complex = "{ authors(first: 100) { nodes { books(first: 100) { nodes { authors { \
                   books(first: 100) { nodes { title } } } } } } } }";
    let large = " ".repeat(300_000);
    for (what, request, status, expected) in [
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
        ("too large", server.post(&json!({ "query": large })), 413, "LIMIT_EXCEEDED"),
    ] {
        let (answered, media_type, body) = send(request).await;
        assert_eq!((answered, code(&body)), (status, expected), "{what}: {body:#}");
        assert_eq!(media_type, "application/graphql-response+json; charset=utf-8", "{what}");
        assert!(body.get("data").is_none(), "{what}: {body}");
    }
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
async fn the_published_kills_are_harmless_by_post_and_get() {
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

/// The page that maps the clauses to tests names none that does not exist.
#[test]
fn every_test_that_the_page_names_exists() {
    let page = std::fs::read_to_string(repository().join("docs/graphql-over-http.md")).unwrap();
    let tests =
        ["tests/graphql_over_http.rs", "tests/abuse/overload.rs", "tests/security/tokens.rs"]
            .map(|file| std::fs::read_to_string(repository().join(file)).unwrap())
            .concat();
    let named: Vec<_> = page.split('`').filter(|part| part.matches('_').count() > 2).collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}
