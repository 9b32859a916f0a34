//! Shutdown by a signal.

use std::time::{Duration, Instant};

use testing::{Db, on_both_databases};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

on_both_databases! {
    async fn in_flight_requests_are_answered_after_sigterm(db: Db) {
        let mut service = db.serve_with(&["--sample"]).await;
        let idle = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
        let mut half = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
        half.write_all(b"POST /graphql HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
        // A request whose body is still on its way when the signal comes.
        let mut slow = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
        let body = r#"{"query":"mutation { createAuthor(input: { name: \"Late\" }) { name } }"}"#;
        let head = format!("POST /graphql HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
            Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        slow.write_all(head.as_bytes()).await.unwrap();
        // The service asks for the body: it is in flight.
        let mut buffer = [0; 25];
        slow.read_exact(&mut buffer).await.unwrap();
        assert!(buffer.starts_with(b"HTTP/1.1 100 Continue"));

        let started = Instant::now();
        service.signal("-TERM");
        service.wait_for_log("the drain", |event| event["drain.signal"] == "SIGTERM");
        assert_eq!(service.readyz().await, 503);
        slow.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        slow.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("200 OK") && answer.contains("Late"), "{answer}");
        assert_eq!(service.wait().code(), Some(0));
        assert!(started.elapsed() < Duration::from_secs(10));
        drop((idle, half));
    }
}
