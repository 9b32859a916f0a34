//! Collectors that are absent, gone, frozen, overloaded or forgetful.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use socket2::SockRef;
use testing::{
    Db, Service,
    collector::{Collector, Options, free_port, prompt},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{DOCUMENT, everything_arrives, load, resident};

/// A collector's trouble, and its end.
#[derive(Clone, Copy)]
enum Trouble {
    /// Nothing listens at its port.
    Absent,
    /// It was there, and is gone.
    Gone,
    /// It takes connections and says nothing.
    Frozen,
    /// It answers 503.
    Overloaded,
}

/// Requests are answered as if nothing were the matter; memory stays where it is; what is lost is
/// counted, and logged at most once a minute; and when the collector is back, telemetry flows.
async fn trouble_is_survived(trouble: Trouble) {
    let port = free_port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut variables = prompt(&endpoint);
    variables.extend([
        ("OTEL_BSP_MAX_QUEUE_SIZE", "512"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "512"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "256"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
    ]);
    let start = || Collector::start_with(&Options { http_port: Some(port), ..Options::default() });
    let overloaded = matches!(trouble, Trouble::Overloaded).then(|| Overloaded::at(port));
    let mut collector = matches!(trouble, Trouble::Gone | Trouble::Frozen).then(start);
    let service = Db::sqlite().serve_in(&variables).await;
    if let Some(collector) = &collector {
        everything_arrives(&service, collector).await;
    }
    match trouble {
        Trouble::Gone => collector = None,
        Trouble::Frozen => collector.as_ref().unwrap().signal("-STOP"),
        Trouble::Absent | Trouble::Overloaded => {}
    }
    // By then every queue is full, and the service has the memory that it needs under load.
    load(&service, 1000).await;
    let before = resident(&service);
    let slowest = load(&service, 2000).await;
    assert!(slowest < Duration::from_secs(3), "a request waited for the collector: {slowest:?}");
    let grown = resident(&service).saturating_sub(before);
    assert!(grown < 15_000_000, "{grown} bytes more");
    lost_is_counted(&service).await;
    let warnings = service.log().iter().filter(|line| line["level"] == "WARN").count();
    assert_eq!(warnings, 1, "one warning a minute: {:#?}", service.log());

    drop(overloaded);
    let collector = match collector {
        Some(frozen) => {
            frozen.signal("-CONT");
            frozen
        }
        None => start(),
    };
    let took = flows_again(&service, &collector).await;
    println!("flows again after {took:?}, grown by {grown} bytes");
}

/// Sends requests until the trace of one arrives; returns how long that took.
async fn flows_again(service: &Service, collector: &Collector) -> Duration {
    let back = Instant::now();
    loop {
        let (trace, _) = service.traced(DOCUMENT, json!({})).await;
        let arrived = || collector.spans().iter().any(|span| span.trace == trace);
        let tried = Instant::now();
        while !arrived() && tried.elapsed() < Duration::from_millis(500) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if arrived() {
            return back.elapsed();
        }
        assert!(back.elapsed() < Duration::from_secs(10), "telemetry does not flow again");
    }
}

/// Spans were dropped from a full queue or failed to be exported, and metrics tell how many.
async fn lost_is_counted(service: &Service) {
    let started = Instant::now();
    loop {
        let scrape = service.scrape().await;
        let value = |series: &str| -> f64 {
            let line = scrape.lines().find(|line| line.starts_with(series));
            line.map_or(0.0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        };
        let dropped = value("otel_sdk_processor_span_processed_total{error_type=\"queue_full\"}");
        let failed = value("otel_sdk_exporter_span_exported_total{error_type=\"export_failed\"}");
        if dropped + failed > 0.0 {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(15), "no loss is counted: {scrape}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Something at the collector's port that answers every request with 503.
struct Overloaded {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Overloaded {
    fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                // The head is enough to be refused for.
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(
                    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                );
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Overloaded {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_an_absent_collector() {
    trouble_is_survived(Trouble::Absent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_a_collector_that_goes_away() {
    trouble_is_survived(Trouble::Gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_a_frozen_collector() {
    trouble_is_survived(Trouble::Frozen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_an_overloaded_collector() {
    trouble_is_survived(Trouble::Overloaded).await;
}

/// A relay that answers with a reset once a connection has been silent for a while, as load
/// balancers and NAT do that have forgotten it.
async fn forgetful_relay(to: &str) -> String {
    let to = to.trim_start_matches("http://").to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::runtime::Handle::current().spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::runtime::Handle::current().spawn(relay(client, to.clone()));
        }
    });
    format!("http://127.0.0.1:{port}")
}

async fn relay(mut client: TcpStream, to: String) {
    const SILENCE: Duration = Duration::from_secs(1);
    let mut server = TcpStream::connect(&to).await.unwrap();
    let (mut upstream, mut downstream) = ([0; 4096], [0; 4096]);
    loop {
        let started = Instant::now();
        let (length, is_up) = tokio::select! {
            length = client.read(&mut upstream) => (length.unwrap_or(0), true),
            length = server.read(&mut downstream) => (length.unwrap_or(0), false),
        };
        if length == 0 || started.elapsed() > SILENCE {
            // The kernel then closes with a reset.
            let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
            return;
        }
        let written = if is_up {
            server.write_all(&upstream[..length]).await
        } else {
            client.write_all(&downstream[..length]).await
        };
        if written.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loses_nothing_when_an_idle_connection_is_reset() {
    let collector = Collector::start();
    let endpoint = forgetful_relay(&collector.grpc).await;
    let mut variables = prompt(&endpoint);
    variables.push(("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"));
    variables.retain(|(name, _)| *name != "OTEL_METRIC_EXPORT_INTERVAL");
    variables.push(("OTEL_METRIC_EXPORT_INTERVAL", "2500"));
    let mut service = Db::sqlite().serve_in(&variables).await;
    for _ in 0..4 {
        let (trace, _) = service.traced(DOCUMENT, json!({})).await;
        collector.trace(&trace);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    service.signal("-TERM");
    assert!(service.wait().success());
    let log = service.log();
    let stopped = log.iter().find(|line| line["event"] == "telemetry.stopped").unwrap();
    assert_eq!(stopped["telemetry.export.lost"], "0 spans, 0 log records, 0 data points");
    assert!(!log.iter().any(|line| line["event"] == "telemetry.export_failed"), "{log:#?}");
}
