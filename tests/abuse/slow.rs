//! Slow clients of all kinds at once: half heads, silent connections, dripping bodies, and
//! readers that take a large response a few bytes at a time.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use testing::{Db, PATIENCE, Service, full, probe::Probe, wait_until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::{interval, timeout},
};

use crate::{
    connections::closed,
    http::{Connection, address, allow_many_sockets, half_head, peer, post},
    turn,
};

/// Books with long titles.
const BOOKS: usize = 20;
/// How often a response has each title: it is large and cheap to make.
const COPIES: usize = 26;
/// How many bytes at a time, and how often, somebody slow sends or reads.
const DRIP: (usize, Duration) = (64, Duration::from_millis(500));

/// A state of a socket in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

/// How many there are of each kind.
const HALF_HEADS: usize = 500;
const SILENT: usize = 500;
const DRIPPING: usize = 200;

/// Each of them costs a fifth of a second where nothing is optimised.
fn readers() -> usize {
    if full() { 200 } else { 40 }
}

#[tokio::test(flavor = "multi_thread")]
async fn evicts_slow_clients_of_one_address() {
    let _turn = turn().await;
    let service = attacked(|_| peer(1)).await;
    assert!(closed(&service, "peer_limit").await >= 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn evicts_slow_clients_of_many_addresses() {
    let _turn = turn().await;
    let service = attacked(|number| peer(number / 10)).await;
    assert_eq!(closed(&service, "peer_limit").await, 0);
    // The client of a probe may have opened a connection that it then had no need of.
    assert!(closed(&service, "head_timeout").await >= (HALF_HEADS + SILENT) as u64);
    let unread = closed(&service, "answer_timeout").await + closed(&service, "backlog").await;
    assert_eq!(unread, readers() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn evicts_the_slowest_client_when_responses_pile_up() {
    let _turn = turn().await;
    let service = prepared(&["--max-backlog", "2500000"]).await;
    let mut first = reader(peer(1), &service).await;
    let mut second = reader(peer(2), &service).await;
    wait_until("no room for a third", async || {
        assert!(service.data(&large(), json!({})).await.to_string().len() > 1_000_000);
        closed(&service, "backlog").await == 1
    })
    .await;
    assert!(take(&mut first).await < 1_000_000);
    assert_eq!(take(&mut second).await, 1_000_000);
}

/// Takes the next megabyte of a response, or what there is of it.
async fn take(reader: &mut Connection) -> usize {
    let mut taken = Vec::new();
    // An error is what a cut connection gives at its end.
    let _ = timeout(PATIENCE, (&mut reader.stream).take(1_000_000).read_to_end(&mut taken))
        .await
        .unwrap();
    taken.len()
}

/// A service after an attack by slow clients, which it survived without anybody noticing.
async fn attacked(address: impl Fn(usize) -> Ipv4Addr) -> Service {
    allow_many_sockets();
    let service = prepared(shorter()).await;
    let before = memory(&service, "VmRSS");
    let probe = Probe::start(&service);
    let began = Instant::now();
    let (mut crowd, mut readers_left) = (JoinSet::new(), JoinSet::new());
    let are_cut = Arc::<AtomicBool>::default();
    let mut addresses = (0..).map(address);
    let mut next = || addresses.next().unwrap();
    // Readers first, so that there are some whatever a peer may have. One after the other: the
    // taking of their responses is to be slow, and not the making.
    for _ in 0..readers() {
        let reader = reader(next(), &service).await;
        readers_left.spawn(read_slowly(reader, are_cut.clone()));
    }
    for _ in 0..DRIPPING {
        let head = format!("{}Content-Length: 100000\r\n\r\n", half_head());
        crowd.spawn(drip(connection(next(), &service, &head).await));
    }
    for _ in 0..HALF_HEADS {
        crowd.spawn(wait(connection(next(), &service, half_head()).await));
    }
    for _ in 0..SILENT {
        crowd.spawn(wait(connection(next(), &service, "").await));
    }
    let complete = Instant::now();
    while let Some(cut) = crowd.join_next().await {
        cut.unwrap();
    }
    wait_until("the readers' end", async || connected_peers(&service) == 0).await;
    let took = complete.elapsed();
    let grown = memory(&service, "VmHWM").saturating_sub(before) >> 20;
    println!("there after {:?}, cut after {took:?}, +{grown} MiB", complete - began);
    assert!(took < Duration::from_secs(30), "cut after {took:?}");
    assert!(grown <= 200, "{grown} MiB");
    are_cut.store(true, Ordering::Relaxed);
    while let Some(read) = readers_left.join_next().await {
        let read = read.unwrap();
        assert!(read < 1_000_000, "the whole answer was there: {read}");
    }
    probe.saw_nothing().await;
    assert!(!service.log().iter().any(|event| event["level"] == "ERROR"), "{:#?}", service.log());
    service
}

/// Time limits, so that it does not take long.
fn shorter() -> &'static [&'static str] {
    if full() { &[] } else { &["--request-timeout", "5s", "--answer-timeout", "12s"] }
}

/// A service that has a large response.
async fn prepared(arguments: &[&str]) -> Service {
    let service = Db::sqlite().serve_with(arguments).await;
    for number in 0..BOOKS {
        let title = format!("{number:03}{}", "𝔅".repeat(497));
        service.create(json!({ "title": title })).await;
    }
    let data = service.data(&large(), json!({})).await;
    assert!(data.to_string().len() > 1_000_000);
    service
}

/// A query for 1 MB.
fn large() -> String {
    let titles: Vec<_> = (0..COPIES).map(|copy| format!("t{copy}: title")).collect();
    format!("{{ books(first: {BOOKS}) {{ nodes {{ {} }} }} }}", titles.join(" "))
}

async fn connection(address: Ipv4Addr, service: &Service, start: &str) -> Connection {
    let mut connection = Connection::from(address, service).await.unwrap();
    // It may be closed already, where its address has too many.
    let _ = connection.send(start).await;
    connection
}

/// A client that gets a large response, of which it has read the first bytes.
async fn reader(address: Ipv4Addr, service: &Service) -> Connection {
    let mut connection = Connection::with_buffer(address, service, Some(4096)).await.unwrap();
    connection.send(post(&large())).await.unwrap();
    let mut status = [0; 12];
    connection.stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    connection
}

/// Reads a little now and then, until the connection is cut; then all that is left. Answers how
/// much it got. (It would not notice the cut by itself: its kernel has more than it reads.)
async fn read_slowly(mut connection: Connection, is_cut: Arc<AtomicBool>) -> usize {
    let mut ticks = interval(DRIP.1);
    let mut got = 0;
    while !is_cut.load(Ordering::Relaxed) {
        ticks.tick().await;
        let mut buffer = [0; DRIP.0];
        // The kernel may hold back what the other one sends, for minutes, after its window was full.
        let read = timeout(DRIP.1, connection.stream.read(&mut buffer)).await;
        got += read.map_or(0, |read| read.unwrap_or(0));
    }
    let mut rest = Vec::new();
    // An error is what a cut connection gives at its end.
    let _ = timeout(PATIENCE, connection.stream.read_to_end(&mut rest)).await;
    got + rest.len()
}

async fn drip(mut connection: Connection) {
    let mut ticks = interval(DRIP.1);
    loop {
        ticks.tick().await;
        // A response or the end: that it is rejected is all that is waited for.
        let mut buffer = [0; 1024];
        let told = timeout(Duration::from_millis(1), connection.stream.read(&mut buffer)).await;
        if told.is_ok() || connection.stream.write_all(&[b' '; DRIP.0]).await.is_err() {
            return connection.closed().await;
        }
    }
}

async fn wait(mut connection: Connection) {
    connection.closed().await;
}

/// The connections that the service has to addresses of [`peer`], without those that it has closed and
/// of which the kernel still has something to send.
fn connected_peers(service: &Service) -> usize {
    let own = format!(":{:04X}", address(service).port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    sockets
        .filter(|socket| socket[1].ends_with(&own))
        // In the order of the bytes in memory, 127.1 is at the end.
        .filter(|socket| socket[2].split(':').next().is_some_and(|peer| peer.ends_with("017F")))
        .filter(|socket| socket[3] == ESTABLISHED)
        .count()
}

/// Of the process, in bytes.
pub fn memory(service: &Service, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() << 10
}
