//! Media types and encodings: of the response by `Accept`, of the body by `Content-Type`.

use reqwest::Method;
use serde_json::json;

use crate::{RESPONSE_JSON, Server, TYPENAME, code, send};

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
async fn accepts_only_json_in_utf_8() {
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
