//! Telemetry to a collector of no use.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use colophon::catalog::metrics;
use graphql_telemetry::{
    Telemetry,
    settings::{ExportSettings, Exporter, OtlpOptions, Protocol},
};

/// Starts all telemetry but logs.
pub fn observe() -> Telemetry {
    let address = swallow();
    let to = |path: &str| {
        let endpoint = format!("{address}{path}").parse().unwrap();
        Exporter::Otlp(Box::new(OtlpOptions::new(Protocol::Http, endpoint)))
    };
    let export = ExportSettings {
        disabled: false,
        traces: to("/v1/traces"),
        metrics: to("/v1/metrics"),
        logs: Exporter::None,
        scrape: true,
        ..ExportSettings::from_env().unwrap()
    };
    // Spans come faster than any service makes them, and some are dropped, of which nobody need be told.
    let telemetry = Telemetry::builder("colophon", "").export(export).metrics(metrics::METRICS);
    telemetry.log_filter("off").install().unwrap()
}

/// A server that answers everything with 200, and where it is.
fn swallow() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || while answer(&connection).is_some() {});
        }
    });
    format!("http://{address}")
}

/// Reads a request and answers it. None when there are no more.
fn answer(mut connection: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    // The client sends the next request only after the answer: nothing of it is in the buffer.
    io::copy(&mut reader.take(length), &mut io::sink()).ok()?;
    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()
}
