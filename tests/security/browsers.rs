//! What other sites' pages can do, and what strangers are told.

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use testing::{Db, Service};

use super::tokens::{ask, code, token};

/// A browser's request, without any header of our own client's.
fn request(service: &Service, method: Method, path: &str) -> RequestBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new().request(method, format!("{}{path}", service.url))
}

const QUERY: &str = "/graphql?query=%7B__typename%7D";

#[tokio::test(flavor = "multi_thread")]
async fn rejects_a_get_that_any_page_could_send() {
    let service = Db::sqlite().serve().await;
    for (header, value) in [
        ("accept", "*/*"),
        ("content-type", "text/plain"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("graphql-require-preflight", ""),
        ("x-requested-with", "x"),
    ] {
        let response = request(&service, Method::GET, QUERY).header(header, value).send().await;
        let response = response.unwrap();
        assert_eq!(response.status(), 400, "{header}: {value}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(code(&answer), "BAD_REQUEST");
        let told = answer["errors"][0]["message"].as_str().unwrap();
        assert!(told.contains("GraphQL-Require-Preflight"), "{told}");
        // Neither can such a page post.
        let post = request(&service, Method::POST, "/graphql").header(header, value);
        let response = post.body(r#"{"query":"{__typename}"}"#).send().await.unwrap();
        assert_eq!(response.status(), 415, "{header}: {value}");
    }
    for (header, value) in [
        ("GraphQL-Require-Preflight", "1"),
        ("Apollo-Require-Preflight", "true"),
        ("X-Apollo-Operation-Name", "Books"),
        ("Content-Type", "application/json"),
    ] {
        let get = request(&service, Method::GET, QUERY).header(header, value);
        assert_eq!(get.send().await.unwrap().status(), 200, "{header}");
    }
}

/// What a page sends beside GraphQL: of Apollo's client, of Sentry's, of proxies, and of the site itself.
const WANTED: &str = "authorization,content-type,apollographql-client-name,apollographql-client-version,\
                      sentry-trace,baggage,x-request-id,traceparent,tracestate,x-tenant";

async fn preflight(service: &Service, origin: &str) -> Response {
    let request = request(service, Method::OPTIONS, "/graphql").header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    let asked = request.header("access-control-request-headers", WANTED);
    asked.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn allows_listed_origins_only() {
    let db = Db::sqlite();
    let (token, line) = token(&["books:read"]);
    let file = db.file("tokens", line);
    let listed = ("COLOPHON_ALLOWED_ORIGINS", "https://books.example,http://localhost:3000");
    let tokens = ("COLOPHON_TOKENS_FILE", file.to_str().unwrap());
    let service = db.serve_in(&[listed, ("COLOPHON_ALLOWED_HEADERS", "X-Tenant"), tokens]).await;
    for origin in ["https://books.example", "http://localhost:3000"] {
        let response = preflight(&service, origin).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(response.status().is_success());
        assert_eq!(header("access-control-allow-origin"), origin);
        let allowed = header("access-control-allow-headers");
        for name in WANTED.split(',').chain(["graphql-require-preflight"]) {
            assert!(allowed.split(',').any(|it| it == name), "{name} is missing in: {allowed}");
        }
        assert!(response.headers().get("access-control-allow-credentials").is_none());
        let ask = |token: &str| {
            let post = request(&service, Method::POST, "/graphql").header("origin", origin);
            post.bearer_auth(token).json(&json!({ "query": "{ __typename }" })).send()
        };
        for (token, status) in [(token.as_str(), 200), ("x", 401)] {
            let response = ask(token).await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["access-control-allow-origin"], origin);
            assert!(response.headers()["vary"].to_str().unwrap().contains("origin"));
        }
    }
    for origin in
        ["https://evil.example", "http://books.example", "null", "https://books.example.evil"]
    {
        let response = preflight(&service, origin).await;
        assert!(response.headers().get("access-control-allow-origin").is_none(), "{origin}");
    }
    // Where nobody is listed, nobody is told anything.
    let closed = db.serve().await;
    let response = preflight(&closed, "https://books.example").await;
    assert_eq!(response.status(), 405);
    assert!(!response.headers().keys().any(|name| name.as_str().starts_with("access-control")));
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_security_headers_on_every_response() {
    let db = Db::sqlite();
    let service = db.serve().await;
    let refused = db.serve_in(&[("COLOPHON_ADMIN_TOKEN", "0123456789s3cret")]).await;
    let mut answers = Vec::new();
    for path in ["/", "/graphql", QUERY, "/nowhere", "/assets/nothing.js", "/assets/../Cargo.toml"]
    {
        for method in [Method::GET, Method::POST, Method::PUT, Method::OPTIONS] {
            answers.push(request(&service, method, path).send().await.unwrap());
        }
    }
    answers.push(
        request(&service, Method::GET, "/").header("accept", "text/html").send().await.unwrap(),
    );
    for path in ["/livez", "/readyz", "/metrics", "/debug/tasks", "/nowhere"] {
        for service in [&service, &refused] {
            answers
                .push(service.client.get(format!("{}{path}", service.admin)).send().await.unwrap());
        }
    }
    for answer in &answers {
        let what = format!("{} {}", answer.status(), answer.url());
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("x-content-type-options"), Some("nosniff"), "{what}");
        assert_eq!(header("referrer-policy"), Some("no-referrer"), "{what}");
        assert_eq!(header("x-frame-options"), Some("DENY"), "{what}");
        assert_eq!(header("cross-origin-resource-policy"), Some("same-origin"), "{what}");
        let policy = header("content-security-policy").unwrap_or_else(|| panic!("{what}"));
        assert!(policy.starts_with("default-src 'none'"), "{what}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{what}: {policy}");
        assert!(!policy.contains("script-src") || answer.url().path() == "/", "{what}: {policy}");
        assert_eq!(header("server"), None, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn production_exposes_no_schema() {
    let db = Db::sqlite();
    let telling = db.serve().await;
    let service = db.serve_with(&["--production"]).await;
    let answer = |service: &Service, query: &'static str| {
        let post = service.client.post(format!("{}/graphql", service.url));
        let post = post.json(&json!({ "query": query })).send();
        async move { post.await.unwrap().json::<Value>().await.unwrap() }
    };
    for query in [
        "{ __schema { types { name } } }",
        "{ __type(name: \"Book\") { name } }",
        "{ a: __typename ...on Query { b: __schema { queryType { name } } } }",
        "query Q { ...F } fragment F on Query { __schema { queryType { name } } }",
    ] {
        assert!(answer(&telling, query).await.get("errors").is_none(), "{query}");
        let refused = answer(&service, query).await;
        assert_eq!(code(&refused), "GRAPHQL_VALIDATION_FAILED", "{query}: {refused}");
        assert!(refused.get("data").is_none_or(Value::is_null), "{refused}");
    }
    for query in [
        "{ boks { totalCount } }",
        "{ books(frst: 1) { totalCount } }",
        "{ books { nodes { titl } } }",
        "mutation { createBok { id } }",
    ] {
        let message = answer(&service, query).await["errors"][0]["message"].to_string();
        let names = ["title", "totalCount", "first", "createBook"];
        assert!(!names.iter().any(|name| message.contains(name)), "{message}");
    }
    // What a field may not be is still put right, for which the schema is looked at.
    let typename = answer(&service, "{ __typename books { __typename } }").await;
    assert_eq!(
        typename["data"],
        json!({ "__typename": "Query", "books": { "__typename": "BookConnection" } })
    );
    let absent = answer(&service, "mutation { deleteBook(id: \"x\") }").await;
    assert_eq!(absent["data"], Value::Null);
    assert_eq!(code(&absent), "BAD_USER_INPUT");
    assert!(service.scrape().await.contains("graphql_root_field=\"Query.books\""));

    let page =
        request(&service, Method::GET, "/").header("accept", "text/html").send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "application/json");
    let status: Value = page.json().await.unwrap();
    assert_eq!(status, json!({ "service": "colophon", "graphql": "/graphql" }));
    let page =
        request(&telling, Method::GET, "/").header("accept", "text/html").send().await.unwrap();
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
}

/// Where nobody has to say who they are, everybody may do everything, also with a token for elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn serves_without_tokens_when_open() {
    let service = Db::sqlite().serve().await;
    for token in [None, Some("x")] {
        let (status, answer) = ask(&service, token, super::tokens::WRITE).await;
        assert!(status == 200 && answer.get("errors").is_none(), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_unknown_hosts_without_a_token() {
    let service = Db::sqlite().serve_in(&[("COLOPHON_ALLOWED_HOSTS", "books.local")]).await;
    let port = service.url.rsplit_once(':').unwrap().1.to_owned();
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        (format!("127.0.0.1:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        ("books.local".to_owned(), 200),
        (format!("evil.example:{port}"), 403),
        ("localhost.evil.example".to_owned(), 403),
        ("192.168.1.2".to_owned(), 403),
    ] {
        for url in [&service.url, &service.admin] {
            let path = if *url == service.url { "/" } else { "/metrics" };
            let get = Client::new().get(format!("{url}{path}")).header("host", &host);
            assert_eq!(get.send().await.unwrap().status(), status, "{path} of {host}");
        }
        let recording = Client::new().post(format!("{}/debug/recording?seconds=1", service.admin));
        if status == 403 {
            let refused = recording.header("host", &host).send().await.unwrap();
            assert_eq!(refused.status(), status, "{host}");
            assert!(refused.text().await.unwrap().contains("COLOPHON_ALLOWED_HOSTS"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ignores_the_host_with_tokens() {
    let db = Db::sqlite();
    let (token, line) = token(&["books:read"]);
    let file = db.file("tokens", line);
    let tokens = ("COLOPHON_TOKENS_FILE", file.to_str().unwrap());
    let admin = ("COLOPHON_ADMIN_TOKEN", "0123456789abcdef");
    let service = db.serve_in(&[tokens, admin]).await;
    for (url, token) in [(&service.url, token.as_str()), (&service.admin, admin.1)] {
        let path = if *url == service.url { "/" } else { "/metrics" };
        let get = Client::new().get(format!("{url}{path}")).header("host", "api.example");
        assert_eq!(get.bearer_auth(token).send().await.unwrap().status(), 200, "{path}");
    }
}
