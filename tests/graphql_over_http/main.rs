//! GraphQL over HTTP, September 2026 edition, clause by clause. `docs/graphql-over-http.md` says which
//! test is about which clause.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod media_types;
mod page;
mod parameters;
mod status_codes;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use testing::{Db, Service};
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
