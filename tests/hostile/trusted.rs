//! Trusted documents, automatic persisted queries, and names as labels.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testing::{Db, Service, stderr};

use super::{code, post, send};

const TYPENAME: &str = "query Kind { __typename }";
const FIRST: &str = "query First($n: Int!) { books(first: $n) { nodes { title } } }";

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |all, byte| format!("{all}{byte:02x}"))
}

async fn ask(service: &Service, body: Value) -> (u16, Value) {
    let (status, answer) = send(post(service, body.to_string())).await;
    (status.as_u16(), answer)
}

fn persisted(hash: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

/// A service that trusts the documents above, one by each kind of id.
async fn trusting(db: &Db, more: &[&str]) -> Service {
    let manifest = json!({ hash(FIRST): FIRST, "kind.v1": TYPENAME });
    let file = db.file("manifest.json", manifest.to_string());
    db.serve_with(&[&["--sample", "--trusted-documents", file.to_str().unwrap()], more].concat())
        .await
}

#[tokio::test]
async fn trusted_documents_are_named_by_their_id() {
    let service = trusting(&Db::sqlite(), &[]).await;
    for id in [hash(FIRST), format!("sha256:{}", hash(FIRST))] {
        let body = json!({ "documentId": id, "variables": { "n": 2 } });
        let (status, answer) = ask(&service, body).await;
        assert_eq!(status, 200);
        assert_eq!(answer["data"]["books"]["nodes"].as_array().unwrap().len(), 2);
    }
    let (_, answer) = ask(&service, json!({ "documentId": "kind.v1" })).await;
    assert_eq!(answer["data"]["__typename"], "Query");
    let body = json!({ "extensions": persisted(&hash(FIRST)), "variables": { "n": 1 } });
    assert_eq!(ask(&service, body).await.0, 200);
    let url = format!("{}/graphql", service.url);
    let answer = send(service.client.get(url).query(&[("documentId", "kind.v1")])).await.1;
    assert_eq!(answer["data"]["__typename"], "Query");
    // Its variables are checked like any other's.
    let body = json!({ "documentId": hash(FIRST), "variables": { "n": "x" } });
    assert_eq!(code(&ask(&service, body).await.1), "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(ask(&service, json!({ "query": "{ __typename }" })).await.0, 200);
    let (_, answer) = ask(&service, json!({ "documentId": "kind.v2" })).await;
    assert_eq!(code(&answer), "PERSISTED_QUERY_NOT_FOUND");
    let both = json!({ "documentId": "kind.v1", "query": TYPENAME });
    assert_eq!(code(&ask(&service, both).await.1), "BAD_REQUEST");
}

#[tokio::test]
async fn only_trusted_documents_are_served_where_that_is_asked_for() {
    let db = Db::sqlite();
    let service = trusting(&db, &["--only-trusted"]).await;
    assert_eq!(ask(&service, json!({ "query": TYPENAME })).await.0, 200, "its text is known");
    assert_eq!(ask(&service, json!({ "documentId": "kind.v1" })).await.0, 200);
    let other = "{ __typename }";
    for body in [
        json!({ "query": other }),
        json!({ "query": other, "extensions": persisted(&hash(other)) }),
        json!({ "documentId": hash(other) }),
        json!({ "documentId": "x" }),
        json!({ "extensions": persisted(&hash(other)) }),
        json!({ "query": "{" }),
    ] {
        let (status, answer) = ask(&service, body.clone()).await;
        assert_eq!((status, code(&answer)), (403, "DOCUMENT_NOT_TRUSTED"), "{body}");
    }
    let output = db.run(&[
        "serve",
        "--only-trusted",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--trusted-documents"), "{}", stderr(&output));
}

#[test]
fn explains_a_wrong_manifest_at_start() {
    let twice = format!(r#"{{"x": "{TYPENAME}", "x": "{TYPENAME}"}}"#);
    let deep = format!("{{ {}a{} }}", "a{".repeat(20), "}".repeat(20));
    for (manifest, told) in [
        ("[]".to_owned(), "manifest"),
        (r#"{"x": 1}"#.to_owned(), "\"x\""),
        (twice, "\"x\""),
        (json!({ hash(FIRST): TYPENAME }).to_string(), hash(TYPENAME).as_str()),
        (json!({ "bad": "{" }).to_string(), "\"bad\""),
        (json!({ "bad": "{ nothing }" }).to_string(), "nothing"),
        (json!({ "good": TYPENAME, "deep": deep }).to_string(), "\"deep\""),
    ] {
        let db = Db::sqlite();
        let file = db.file("manifest.json", &manifest);
        let output = db.run(&[
            "serve",
            "--trusted-documents",
            file.to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ]);
        assert_eq!(output.status.code(), Some(1), "{manifest}");
        let text = stderr(&output);
        assert!(text.contains(told) && text.contains("manifest.json"), "{manifest}: {text}");
    }
}

#[tokio::test]
async fn apollos_manifest_is_read() {
    let db = Db::sqlite();
    let manifest = json!({ "format": "apollo-persisted-query-manifest", "version": 1, "operations": [
        { "id": hash(TYPENAME), "name": "Kind", "type": "query", "body": TYPENAME } ] });
    let file = db.file("manifest.json", manifest.to_string());
    let service = db.serve_with(&["--trusted-documents", file.to_str().unwrap()]).await;
    assert_eq!(ask(&service, json!({ "documentId": hash(TYPENAME) })).await.0, 200);
}

#[tokio::test]
async fn persists_a_document_that_was_sent_once() {
    let service = Db::sqlite().serve().await;
    let by_hash = json!({ "extensions": persisted(&hash(TYPENAME)) });
    let (status, answer) = ask(&service, by_hash.clone()).await;
    assert_eq!((status, code(&answer)), (422, "PERSISTED_QUERY_NOT_FOUND"));
    assert_eq!(answer["errors"][0]["message"], "PersistedQueryNotFound");
    let with = |text: &str, hash: &str| json!({ "query": text, "extensions": persisted(hash) });
    let (_, answer) = ask(&service, with(TYPENAME, &hash(FIRST))).await;
    assert_eq!(code(&answer), "BAD_REQUEST", "the hash must fit");
    let invalid = "{ nothing }";
    ask(&service, with(invalid, &hash(invalid))).await;
    let (_, answer) = ask(&service, json!({ "extensions": persisted(&hash(invalid)) })).await;
    assert_eq!(code(&answer), "PERSISTED_QUERY_NOT_FOUND", "only what is valid is remembered");
    assert_eq!(ask(&service, with(TYPENAME, &hash(TYPENAME))).await.0, 200);
    assert_eq!(ask(&service, by_hash.clone()).await.0, 200);
    let url = format!("{}/graphql", service.url);
    let extensions = by_hash["extensions"].to_string();
    let (status, _) = send(service.client.get(url).query(&[("extensions", extensions)])).await;
    assert_eq!(status, 200);

    let service = Db::sqlite().serve_with(&["--automatic-persisted-queries", "false"]).await;
    assert_eq!(ask(&service, with(TYPENAME, &hash(TYPENAME))).await.0, 200);
    let (_, answer) = ask(&service, by_hash).await;
    assert_eq!(code(&answer), "PERSISTED_QUERY_NOT_SUPPORTED");
}

#[tokio::test]
async fn only_the_names_of_trusted_operations_are_labels() {
    let service = trusting(&Db::sqlite(), &[]).await;
    for i in 0..1_000 {
        service.data(&format!("query Made{i} {{ __typename }}"), json!({})).await;
    }
    ask(&service, json!({ "documentId": "kind.v1" })).await;
    let scrape = service.scrape().await;
    assert!(!scrape.contains("Made"), "a client's name is a label");
    let label = "graphql_operation_name=\"Kind\"";
    let known =
        |line: &str| line.starts_with("graphql_server_request_duration") && line.contains(label);
    assert!(scrape.lines().any(known), "{scrape}");
}
