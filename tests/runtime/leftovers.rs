//! What operations leave behind: nothing, with everything switched on. An hour of load is
//! `bench/soak`.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use testing::{
    Db, PATIENCE, Service,
    collector::{Collector, prompt},
};

use crate::{lab_with, series};

/// What a service has.
#[derive(Clone, Copy, Debug, PartialEq)]
struct State {
    tasks: f64,
    descriptors: usize,
}

async fn state(service: &Service) -> State {
    let tasks = series(&service.scrape().await, "tokio_tasks_alive").unwrap();
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", service.pid())).unwrap().count();
    State { tasks, descriptors }
}

/// Bytes of memory that are resident.
fn resident(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

async fn load(service: &Service, operations: usize) {
    for _ in 0..operations / 50 {
        let document = "{ books(first: 5) { nodes { title authors { name } } } }";
        join_all((0..50).map(|_| service.data(document, json!({})))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_leave_nothing_behind() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    variables.extend([
        ("TOKIO_CONSOLE", "1"),
        ("TOKIO_CONSOLE_BIND", "127.0.0.1:0"),
        ("TOKIO_CONSOLE_RETENTION", "5s"),
        ("COLOPHON_FLIGHT_RECORDER", "1"),
        ("COLOPHON_RECORDING_SIZE", "4"),
        // A busy machine may have fifty wait for longer.
        ("COLOPHON_POOL_WAIT", "10s"),
        ("COLOPHON_OPERATION_TIMEOUT", "20s"),
        // What is left are then no connections of the client's.
        ("COLOPHON_KEEP_ALIVE", "5s"),
    ]);
    let service = lab_with(&Db::sqlite(), &variables).await;
    load(&service, 1500).await;
    let (before, memory) = (state(&service).await, resident(&service));
    load(&service, 6000).await;
    let started = Instant::now();
    // The last connections may be about to close.
    loop {
        let now = state(&service).await;
        if now.tasks <= before.tasks && now.descriptors <= before.descriptors {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{now:?} after {before:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let grown = resident(&service).saturating_sub(memory);
    assert!(grown < 80_000_000, "{grown} bytes more");
}
