//! HTTP/1.1 byte by byte, since no client library misbehaves as these tests must.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use testing::{PATIENCE, Service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// A connection from an address of the loopback network.
pub struct Connection {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub fn code(&self) -> String {
        self.json()["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The address of the public listener.
pub fn address(service: &Service) -> SocketAddr {
    service.url.trim_start_matches("http://").parse().unwrap()
}

/// The `number`th of many peers.
pub fn peer(number: usize) -> Ipv4Addr {
    let [.., third, fourth] = u32::try_from(number).unwrap().to_be_bytes();
    Ipv4Addr::new(127, 1, third, fourth)
}

/// Lets this process open as many sockets as these tests need.
pub fn allow_many_sockets() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, all).unwrap();
    assert!(limit.maximum.is_none_or(|most| most >= 4096), "open files are limited to {limit:?}");
}

impl Connection {
    pub async fn from(peer: Ipv4Addr, service: &Service) -> io::Result<Self> {
        Self::with_buffer(peer, service, None).await
    }

    /// A connection whose kernel takes only so many bytes that nobody has read.
    pub async fn with_buffer(
        peer: Ipv4Addr,
        service: &Service,
        buffer: Option<u32>,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(buffer) = buffer {
            socket.set_recv_buffer_size(buffer)?;
        }
        socket.bind(SocketAddrV4::new(peer, 0).into())?;
        let stream = socket.connect(address(service)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Response> {
        self.send(request).await?;
        self.response().await
    }

    pub async fn response(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
        while self.unread.len() < length {
            self.read_more().await?;
        }
        let body = self.unread.drain(..length).collect();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Response { status, head, body })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Waits until the service closes the connection, throwing away what it sends.
    pub async fn closed(&mut self) {
        let mut buffer = [0; 1024];
        let closed = async { while matches!(self.stream.read(&mut buffer).await, Ok(1..)) {} };
        timeout(PATIENCE, closed).await.expect("the service closes the connection");
    }

    /// Whether the service has left the connection open so far.
    pub async fn is_open(&mut self) -> bool {
        let mut buffer = [0; 1];
        let read = self.stream.read(&mut buffer);
        timeout(Duration::from_millis(10), read).await.is_err()
    }
}

pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A request as any client would send it.
pub fn post(query: &str) -> Vec<u8> {
    let body = json!({ "query": query }).to_string();
    format!("{}Content-Length: {}\r\n\r\n{body}", half_head(), body.len()).into_bytes()
}

/// A head that goes on.
pub fn half_head() -> &'static str {
    "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
}
