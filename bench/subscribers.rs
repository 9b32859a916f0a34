//! Subscribers by server-sent events, for `bench/subscriptions.py`: opens so many, prints `ready` and, when its
//! standard input ends, what they received. A thread for each, and the standard library alone, so that `rustc -O`
//! compiles it in a second.
//!
//!     subscribers HOST:PORT COUNT DOCUMENT
//!
//! The document selects `at`, by which the lag of each event is measured: both sides have the same clock.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

const DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// What a subscriber has received.
#[derive(Default)]
struct Received {
    /// Microseconds from each change to its event.
    lags: Vec<u64>,
    refetches: u64,
}

fn main() {
    let [address, count, document] = &env::args().skip(1).collect::<Vec<_>>()[..] else {
        panic!("subscribers HOST:PORT COUNT DOCUMENT");
    };
    let mut subscribers = Vec::new();
    for _ in 0..count.parse().expect("a number") {
        let stream = subscribe(address, document);
        let received = Arc::<Mutex<Received>>::default();
        subscribers.push(received.clone());
        let read = move || follow(stream, &received);
        thread::Builder::new().stack_size(64 * 1024).spawn(read).expect("a thread");
    }
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink()).expect("standard input");
    let (mut lags, mut refetches) = (Vec::new(), 0);
    for received in subscribers {
        let mut received = received.lock().expect("nobody panicked");
        lags.append(&mut received.lags);
        refetches += received.refetches;
    }
    lags.sort_unstable();
    let of = |percent: usize| lags.get(lags.len() * percent / 100).copied().unwrap_or_default();
    println!(
        r#"{{"events": {}, "refetches": {refetches}, "p50": {}, "p99": {}, "max": {}}}"#,
        lags.len(),
        of(50),
        of(99),
        lags.last().copied().unwrap_or_default()
    );
}

/// A subscription that follows what happens from now on.
fn subscribe(address: &str, document: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let body = format!(r#"{{"query": "{document}"}}"#);
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\
                Content-Type: application/json\r\nContent-Length";
    write!(stream, "{head}: {}\r\n\r\n{body}", body.len()).expect("a request");
    let mut reader = BufReader::with_capacity(1024, stream);
    let mut line = String::new();
    while line.trim_end() != ":" {
        line.clear();
        assert!(
            reader.read_line(&mut line).expect("a response") > 0,
            "the subscription was rejected"
        );
    }
    reader
}

fn follow(mut stream: BufReader<TcpStream>, received: &Mutex<Received>) {
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|count| count > 0) {
        let mut received = received.lock().expect("nobody panicked");
        if line.contains("REFETCH") {
            received.refetches += 1;
        } else if let Some((_, at)) = line.split_once(r#""at":""#) {
            received.lags.push((DAY + now() - time_of_day(at)) % DAY);
        }
        line.clear();
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_micros() as u64 % DAY
}

/// Microseconds since midnight of a time such as `2026-11-30T20:09:49.510090+00:00`.
fn time_of_day(at: &str) -> u64 {
    let digits = |from: usize, to: usize| at[from..to].parse::<u64>().expect("digits");
    let fraction = at[19..].split(['+', 'Z']).next().unwrap_or_default().trim_start_matches('.');
    let micros = format!("{fraction:0<6}")[..6].parse::<u64>().expect("digits");
    ((digits(11, 13) * 60 + digits(14, 16)) * 60 + digits(17, 19)) * 1_000_000 + micros
}
