//! Bodies that are too large, announced as such or not.

use std::time::{Duration, Instant};

use testing::Db;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{SOON, code, post, send};

/// A body that announces itself as too large is refused before it is sent, whatever it is.
#[tokio::test]
async fn rejects_a_large_body_with_a_response() {
    let service = Db::sqlite().serve().await;
    for headers in
        ["Content-Type: text/plain", "Content-Type: application/json\r\nContent-Encoding: gzip"]
    {
        let mut socket =
            TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nHost: localhost\r\n{headers}\r\nContent-Length: 10000000\r\n\r\n"
        );
        let started = Instant::now();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        // And closed soon, since nobody waits for the rest.
        let mut rest = String::new();
        socket.read_to_string(&mut rest).await.unwrap();
        assert!(rest.contains("LIMIT_EXCEEDED"), "{rest}");
        assert!(started.elapsed() < SOON + Duration::from_secs(2), "{:?}", started.elapsed());
    }
    // Without an announcement it is kept as far as the limit and not on.
    let mut socket = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n989680\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b' '; 10_000_000]).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let bomb = post(&service, vec![0x1f; 1_000]).header("content-encoding", "gzip");
    let (status, answer) = send(bomb).await;
    assert_eq!((status.as_u16(), code(&answer)), (415, "UNSUPPORTED_MEDIA_TYPE"));
}
