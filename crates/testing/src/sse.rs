//! A client of GraphQL over server-sent events.

use std::sync::LazyLock;

use reqwest::{Response, header};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{PATIENCE, Service, trace_of};

/// A client without the time limit that the service's own has: a stream lasts.
pub fn patient() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::new()
    });
    &CLIENT
}

/// The stream of a subscription.
pub struct EventStream {
    response: Response,
    /// What came and was not looked at yet.
    text: String,
}

/// What a stream says.
#[derive(Debug, PartialEq)]
pub enum StreamEvent {
    /// A response.
    Next(Value),
    /// The end.
    Complete,
}

impl EventStream {
    /// Subscribes, which must succeed.
    pub async fn open(service: &Service, query: &str, variables: Value) -> Self {
        let response = Self::request(service, query, variables, None).await;
        let status = response.status();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        assert!(kind.starts_with("text/event-stream"), "{status} {kind}");
        Self::of(response).await
    }

    /// The stream that a response is, from its first comment on: then it follows what happens.
    pub async fn of(response: Response) -> Self {
        let mut stream = Self { response, text: String::new() };
        let first = timeout(PATIENCE, stream.part()).await.expect("nothing comes");
        assert_eq!(first.as_deref(), Some(":"));
        stream
    }

    /// The code of the error with which a subscription is rejected.
    pub async fn refusal(service: &Service, query: &str, token: Option<&str>) -> String {
        let response = Self::request(service, query, json!({}), token).await;
        let text = timeout(PATIENCE, response.text()).await.expect("it was taken").unwrap();
        let body: Value = serde_json::from_str(&text).expect(&text);
        body["errors"][0]["extensions"]["code"].as_str().expect(&text).to_owned()
    }

    /// The response to a subscription, perhaps with a token.
    pub async fn request(
        service: &Service,
        query: &str,
        variables: Value,
        token: Option<&str>,
    ) -> Response {
        let body = json!({ "query": query, "variables": variables });
        let request = patient().post(format!("{}/graphql", service.url)).json(&body);
        let request = request.header(header::ACCEPT, "text/event-stream");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// The trace of the subscription.
    pub fn trace(&self) -> String {
        trace_of(&self.response)
    }

    /// The data of the next response, which must be there.
    pub async fn data(&mut self) -> Value {
        match self.next().await {
            Some(StreamEvent::Next(mut response)) => {
                assert!(response["errors"].is_null(), "{response:#}");
                response["data"].take()
            }
            other => panic!("no response: {other:?}"),
        }
    }

    /// What comes next, without comments; none at the end of the response.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        timeout(PATIENCE, self.event()).await.expect("nothing comes")
    }

    async fn event(&mut self) -> Option<StreamEvent> {
        loop {
            let part = self.part().await?;
            let mut lines = part.lines();
            match lines.next() {
                Some("event: next") => {
                    let data = lines.next().and_then(|line| line.strip_prefix("data: "));
                    return Some(StreamEvent::Next(serde_json::from_str(data.unwrap()).unwrap()));
                }
                Some("event: complete") => return Some(StreamEvent::Complete),
                Some(":") => {}
                _ => panic!("no event of the protocol: {part}"),
            }
        }
    }

    /// The next part that an empty line ends.
    async fn part(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let part = self.text[..end].to_owned();
                self.text.drain(..end + 2);
                return Some(part);
            }
            // It ends early if the service is killed.
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}
