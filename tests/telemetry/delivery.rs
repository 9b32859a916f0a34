//! How telemetry gets out: by every protocol, past every trouble of the collector, to the last
//! span.

mod limits;
mod outages;
mod protocols;
mod shutdown;
mod variables;

use std::{
    fs,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;
use testing::{Service, collector::Collector};

const DOCUMENT: &str = "{ books { totalCount } }";

/// Sends a request and waits until its trace, its log record and the metrics have arrived.
async fn everything_arrives(service: &Service, collector: &Collector) {
    let (trace, answer) = service.traced(DOCUMENT, json!({})).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    collector.trace(&trace);
    collector.wait("its log record", |c| c.records().iter().any(|record| record.trace == trace));
    collector.wait("metrics", |c| !c.metrics().is_empty());
}

/// Sends requests, some at a time, that must all succeed; tells how long the slowest took.
async fn load(service: &Service, requests: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..requests / 20 {
        let one = || async {
            let started = Instant::now();
            service.data(DOCUMENT, json!({})).await;
            started.elapsed()
        };
        let times = join_all((0..20).map(|_| one())).await;
        slowest = slowest.max(times.into_iter().max().unwrap());
    }
    slowest
}

/// Bytes of memory that the service holds.
fn resident(service: &Service) -> usize {
    let statm = fs::read_to_string(format!("/proc/{}/statm", service.pid())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Something that accepts connections at a port and never answers.
fn hanging_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept() {
            connections.push(connection);
        }
    });
    format!("http://127.0.0.1:{port}")
}
