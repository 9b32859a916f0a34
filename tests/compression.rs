//! Compressed answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::{Response, header::HeaderMap};
use serde_json::{Value, json};
use testing::{Db, Service};

const LARGE: &str = "{ books(first: 100) { nodes { id title isbn13 authors { name } } } }";
const SMALL: &str = "{ books(first: 1) { nodes { id } } }";

async fn post(service: &Service, query: &str, encodings: &[&str], accept: &str) -> Response {
    let request = service.client.post(format!("{}/graphql", service.url)).header("accept", accept);
    let request = request.json(&json!({ "query": query }));
    let request =
        encodings.iter().fold(request, |request, e| request.header("accept-encoding", *e));
    request.send().await.unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

async fn check_length(response: Response) -> Vec<u8> {
    let length: usize = text(response.headers(), "content-length").parse().unwrap();
    let body = response.bytes().await.unwrap();
    assert_eq!(length, body.len());
    body.to_vec()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

#[tokio::test(flavor = "multi_thread")]
async fn compresses_by_the_accepted_encoding() {
    let service = Db::sqlite().serve_with(&["--sample"]).await;
    for accept in ["application/json", "application/graphql-response+json"] {
        let plain = post(&service, LARGE, &[], accept).await;
        assert_eq!(text(plain.headers(), "content-encoding"), "");
        assert_eq!(text(plain.headers(), "vary"), "accept-encoding");
        let plain = check_length(plain).await;
        assert!(plain.len() > 5000, "{}", plain.len());
        for (encodings, expected) in [
            (&["gzip"][..], "gzip"),
            (&["br"], "br"),
            (&["zstd"], "zstd"),
            (&["gzip, deflate, br;q=0.5"], "gzip"),
            (&["gzip;q=0.1", "br"], "br"),
            (&["deflate"], ""),
            (&["identity"], ""),
            (&["gzip;q=0"], ""),
            // Nothing that is known: the response is there, and better than none.
            (&["identity;q=0, compress"], ""),
        ] {
            let response = post(&service, LARGE, encodings, accept).await;
            assert_eq!(response.status(), 200, "{encodings:?}");
            let headers = response.headers().clone();
            assert_eq!(text(&headers, "content-encoding"), expected, "{encodings:?}");
            assert_eq!(text(&headers, "vary"), "accept-encoding", "{encodings:?}");
            assert!(text(&headers, "content-type").starts_with(accept));
            assert_eq!(text(&headers, "transfer-encoding"), "");
            let body = check_length(response).await;
            if expected.is_empty() {
                assert_eq!(body, plain);
            } else {
                assert!(body.len() < plain.len() / 2, "{expected}: {} bytes", body.len());
            }
            if expected == "gzip" {
                assert_eq!(gunzip(&body), plain);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_small_responses_uncompressed() {
    let service = Db::sqlite().serve_with(&["--sample"]).await;
    let response = post(&service, SMALL, &["gzip"], "application/json").await;
    assert_eq!(text(response.headers(), "content-encoding"), "");
    assert_eq!(text(response.headers(), "vary"), "");
    let variables = [("COLOPHON_SAMPLE", "true"), ("COLOPHON_COMPRESSION", "false")];
    let service = Db::sqlite().serve_in(&variables).await;
    let response = post(&service, LARGE, &["gzip"], "application/json").await;
    assert_eq!(text(response.headers(), "content-encoding"), "");
    assert_eq!(text(response.headers(), "vary"), "");
    let answer: Value = serde_json::from_slice(&check_length(response).await).unwrap();
    assert_eq!(answer["data"]["books"]["nodes"].as_array().unwrap().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn compresses_large_responses_completely() {
    let service = Db::sqlite().serve_with(&["--sample"]).await;
    let copies: Vec<_> = (0..25).map(|copy| format!("t{copy}: title")).collect();
    let query = format!("{{ books(first: 100) {{ nodes {{ id {} }} }} }}", copies.join(" "));
    let response = post(&service, &query, &["gzip"], "application/json").await;
    let body = check_length(response).await;
    let answer: Value = serde_json::from_slice(&gunzip(&body)).unwrap();
    assert_eq!(answer["data"]["books"]["nodes"].as_array().unwrap().len(), 100);
    let scrape = service.scrape().await;
    let line = scrape.lines().find(|line| {
        line.starts_with("http_server_response_body_size_bytes_sum")
            && line.contains("\"/graphql\"")
    });
    let sum = line.unwrap().rsplit(' ').next().unwrap();
    assert_eq!(sum, body.len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_playground_is_compressed_and_kept() {
    let service = Db::sqlite().serve().await;
    let get = |path: String| service.client.get(path).header("accept", "text/html");
    let page = get(service.url.clone()).send().await.unwrap().text().await.unwrap();
    let Some(script) = page.split('"').find(|part| part.strip_suffix(".js").is_some()) else {
        return;
    };
    let url = format!("{}/{}", service.url, script.trim_start_matches(['.', '/']));
    let plain = check_length(get(url.clone()).send().await.unwrap()).await;
    for _ in 0..2 {
        let response = get(url.clone()).header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(text(response.headers(), "content-encoding"), "gzip");
        assert_eq!(gunzip(&check_length(response).await), plain);
    }
}
