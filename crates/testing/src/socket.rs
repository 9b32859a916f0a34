//! A client of GraphQL over WebSocket that can also break the protocol.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{Response, header},
        protocol::CloseFrame,
    },
};

use crate::{PATIENCE, Service};

/// The subprotocol that the service speaks.
pub const PROTOCOL: &str = "graphql-transport-ws";

/// A socket, seen from the client.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
}

/// Where the service listens.
pub fn address(service: &Service) -> &str {
    service.url.trim_start_matches("http://")
}

/// What a request for a socket is answered with, and the socket.
///
/// # Errors
/// What the library says where it is answered without a socket.
pub async fn upgrade(
    service: &Service,
    stream: TcpStream,
    headers: &[(&'static str, &str)],
) -> tungstenite::Result<(Client, Response<Option<Vec<u8>>>)> {
    upgrade_at(&format!("{}/graphql", service.url), stream, headers).await
}

async fn upgrade_at(
    url: &str,
    stream: TcpStream,
    headers: &[(&'static str, &str)],
) -> tungstenite::Result<(Client, Response<Option<Vec<u8>>>)> {
    let url = url.replacen("http", "ws", 1);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let (socket, response) = client_async(request, stream).await?;
    Ok((Client { socket }, response))
}

impl Client {
    /// A socket on which nothing was said.
    pub async fn open(service: &Service) -> Self {
        let stream = TcpStream::connect(address(service)).await.unwrap();
        Self::open_on(service, stream).await
    }

    /// A socket at the URL of any server, on which operations may be sent.
    pub async fn hello_at(url: &str) -> Self {
        let address = url.trim_start_matches("http://").split('/').next().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let headers = [(header::SEC_WEBSOCKET_PROTOCOL.as_str(), PROTOCOL)];
        let (mut client, _) = upgrade_at(url, stream, &headers).await.unwrap();
        client.greet().await;
        client
    }

    /// A socket on a connection, on which nothing was said.
    pub async fn open_on(service: &Service, stream: TcpStream) -> Self {
        let headers = [(header::SEC_WEBSOCKET_PROTOCOL.as_str(), PROTOCOL)];
        let (client, response) = upgrade(service, stream, &headers).await.unwrap();
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], PROTOCOL);
        client
    }

    /// A socket on which operations may be sent.
    pub async fn hello(service: &Service) -> Self {
        let mut client = Self::open(service).await;
        client.greet().await;
        client
    }

    /// Says hello, which must be acknowledged.
    pub async fn greet(&mut self) {
        self.say(json!({ "type": "connection_init" })).await;
        assert_eq!(self.hear().await, json!({ "type": "connection_ack" }));
    }

    /// Says hello with a token, which must be taken.
    pub async fn greet_with(&mut self, token: &str) {
        let payload = json!({ "Authorization": format!("Bearer {token}") });
        self.say(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(self.hear().await, json!({ "type": "connection_ack" }));
    }

    /// Sends a frame.
    pub async fn send(&mut self, message: Message) {
        // The service may have closed the socket already, which the test then hears.
        let _ = self.socket.send(message).await;
    }

    /// Sends a message.
    pub async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    /// Asks for an operation by its document alone.
    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.ask(id, json!({ "query": query })).await;
    }

    /// Asks for an operation.
    pub async fn ask(&mut self, id: &str, payload: Value) {
        self.say(json!({ "type": "subscribe", "id": id, "payload": payload })).await;
    }

    /// The next message.
    pub async fn hear(&mut self) -> Value {
        self.next().await.unwrap_or_else(|frame| panic!("the socket was closed: {frame:?}"))
    }

    /// The payload of the response that must be the next: of `next`, followed by `complete`.
    pub async fn answer(&mut self, id: &str) -> Value {
        let mut next = self.hear().await;
        assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!(id)), "{next:#}");
        assert_eq!(self.hear().await, json!({ "type": "complete", "id": id }));
        next["payload"].take()
    }

    /// The errors of the refusal that must be the next.
    pub async fn refusal(&mut self, id: &str) -> Value {
        let mut error = self.hear().await;
        assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!(id)), "{error:#}");
        error["payload"].take()
    }

    /// The code and the text with which the service closes the socket, whatever it says before.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Err(frame) = self.next().await {
                let frame = frame.expect("the socket ends with a code");
                // And the connection ends too.
                let rest = timeout(PATIENCE, self.socket.next()).await.unwrap();
                assert!(rest.is_none(), "{rest:?}");
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// How the socket was closed.
    pub async fn next(&mut self) -> Result<Value, Option<CloseFrame>> {
        let next = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => break Ok(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(frame))) => break Err(frame),
                    // Pings, which are no message.
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break Err(None),
                }
            }
        };
        timeout(PATIENCE, next).await.expect("nothing comes")
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        self.socket.close(None).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// The connection itself, for what no library would send.
    pub fn connection(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }
}

/// The value of a series, as a scrape gives it; the labels are those it has among others.
pub async fn metric(service: &Service, name: &str, labels: &[&str]) -> f64 {
    let scrape = service.scrape().await;
    let is_it = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    };
    scrape
        .lines()
        .filter(is_it)
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// Waits until a series has this value.
#[expect(clippy::float_cmp, reason = "whole numbers")]
pub async fn metric_is(service: &Service, name: &str, labels: &[&str], wanted: f64) {
    let started = std::time::Instant::now();
    loop {
        let value = metric(service, name, labels).await;
        if value == wanted {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{name} {labels:?} is {value}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until so many sockets were closed for this reason.
pub async fn closed_for(service: &Service, reason: &str, times: f64) {
    let label = format!("websocket_close_reason=\"{reason}\"");
    metric_is(service, "websocket_server_closed_connections_total", &[&label], times).await;
}

/// Waits until so many operations of a type are running.
pub async fn active(service: &Service, kind: &str, wanted: f64) {
    let label = format!("graphql_operation_type=\"{kind}\"");
    metric_is(service, "graphql_server_active_requests", &[&label], wanted).await;
}
