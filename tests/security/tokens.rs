//! The file of tokens.

use std::{fs, time::Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use testing::{Db, PATIENCE, Service, program, stdout};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A token with these scopes, and its line.
pub fn token(scopes: &[&str]) -> (String, String) {
    let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
    let arguments: Vec<_> = ["token", "--name", "test"].into_iter().chain(scopes).collect();
    let text = stdout(&program(&arguments).output().unwrap());
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let [token, line] = lines[..] else { panic!("{text}") };
    (token.to_owned(), line.to_owned())
}

/// Status and answer of a document sent with this token.
pub async fn ask(service: &Service, token: Option<&str>, query: &str) -> (StatusCode, Value) {
    let request = service.client.post(format!("{}/graphql", service.url));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let response = request.json(&json!({ "query": query })).send().await.unwrap();
    let (status, challenge) =
        (response.status(), response.headers().get("www-authenticate").cloned());
    let answer: Value = response.json().await.unwrap();
    if status == 401 {
        assert!(challenge.unwrap().to_str().unwrap().starts_with("Bearer"));
        assert_eq!(code(&answer), "UNAUTHENTICATED");
        assert!(answer.get("data").is_none(), "{answer}");
    }
    (status, answer)
}

pub fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

/// Waits until a token is taken, or no more.
pub async fn until(service: &Service, token: &str, status: u16) {
    let since = Instant::now();
    while ask(service, Some(token), "{ __typename }").await.0 != status {
        assert!(since.elapsed() < PATIENCE, "never {status}: {:?}", service.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

pub const READ: &str = "{ books { totalCount } }";
pub const WRITE: &str = "mutation { createBook(input: { title: \"T\" }) { id } }";

#[tokio::test(flavor = "multi_thread")]
async fn grants_the_scopes_of_a_tokens_line() {
    let db = Db::sqlite();
    let ((read, first), (write, second)) = (token(&["books:read"]), token(&["books:write"]));
    let (both, third) = token(&["books:read", "books:write"]);
    let file = db.file("tokens", format!("# ours\n{first}\n{second}\n{third}\n"));
    let service = db.serve_in(&[("COLOPHON_TOKENS_FILE", file.to_str().unwrap())]).await;
    for (token, query, allowed) in [
        (&read, READ, true),
        (&read, WRITE, false),
        (&write, READ, false),
        (&write, WRITE, true),
        (&both, READ, true),
        (&both, WRITE, true),
        // What hangs on a response is read.
        (
            &write,
            "mutation { createBook(input: { title: \"T\", authors: [{ name: \"A\" }] }) \
                  { id authors { name } } }",
            false,
        ),
    ] {
        let (status, answer) = ask(&service, Some(token), query).await;
        assert_eq!(status, 200);
        assert_eq!(answer.get("errors").is_none(), allowed, "{query}: {answer}");
        assert_eq!(code(&answer) == "FORBIDDEN", !allowed, "{answer}");
    }
    let denied = ask(&service, Some(&read), WRITE).await.1;
    assert_eq!(denied["errors"][0]["path"], json!(["createBook"]));
    assert!(denied["errors"][0]["message"].as_str().unwrap().contains("books:write"));

    let (none, longer, cut) = (None, format!("{read}x"), &read[..read.len() - 1]);
    let huge = "x".repeat(9000);
    for bad in [none, Some("x"), Some(&longer), Some(cut), Some(&huge), Some(&first)] {
        for query in [READ, "{ __typename }", "{ __schema { queryType { name } } }", "no GraphQL"] {
            assert_eq!(ask(&service, bad, query).await.0, 401, "{query}");
        }
    }
    assert_eq!(ask(&service, Some(&read), "{ __typename }").await.1["data"]["__typename"], "Query");
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_tokens() {
    let db = Db::sqlite();
    let ((old, old_line), (new, new_line)) = (token(&["books:read"]), token(&["books:read"]));
    let file = db.file("tokens", &old_line);
    let service = db.serve_in(&[("COLOPHON_TOKENS_FILE", file.to_str().unwrap())]).await;
    let pid = service.pid();
    assert_eq!(ask(&service, Some(&new), READ).await.0, 401);
    fs::write(&file, format!("{old_line}\n{new_line}\n")).unwrap();
    until(&service, &new, 200).await;
    assert_eq!(ask(&service, Some(&old), READ).await.0, 200);
    // As Kubernetes and careful people do it.
    fs::rename(db.file("next", &new_line), &file).unwrap();
    until(&service, &old, 401).await;

    // What cannot be used takes nobody's place, and is told without being quoted.
    fs::write(&file, "s3cret").unwrap();
    let mut service = service;
    service.wait_for_log("the bad file", |event| event["event"] == "security.file_unusable");
    fs::remove_file(&file).unwrap();
    assert_eq!(ask(&service, Some(&new), READ).await.0, 200);
    assert!(!format!("{:?}", service.log()).contains("s3cret"));
    assert_eq!(service.pid(), pid);
}

/// Nobody can make the service read a body who may not ask.
#[tokio::test(flavor = "multi_thread")]
async fn rejects_unauthenticated_requests_before_the_body() {
    let db = Db::sqlite();
    let file = db.file("tokens", token(&["books:read"]).1);
    let service = db.serve_in(&[("COLOPHON_TOKENS_FILE", file.to_str().unwrap())]).await;
    let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 200000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = stream.read_exact(&mut answer);
    tokio::time::timeout(std::time::Duration::from_secs(5), read).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}
