//! What watching costs: spawning tasks that do nothing, and polls, with this crate and without.
//!
//! `cargo run --release --example cost`

#![expect(clippy::disallowed_methods, reason = "what is compared with")]

use std::{
    io,
    time::{Duration, Instant},
};

use runtime_insight::{Builder, spawn};
use tokio::{runtime, task::yield_now};

const ROUNDS: usize = 20;
const TIMES: u32 = 20_000;

fn main() -> io::Result<()> {
    let plain = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let watched = Builder::new().configure(|tokio| _ = tokio.worker_threads(1)).build()?;
    let mut figures = [const { Vec::new() }; 4];
    // In turns, so that a busy moment of the machine meets both.
    for _ in 0..ROUNDS {
        figures[0].push(plain.block_on(spawns(|| tokio::spawn(async {}))));
        figures[1].push(watched.block_on(spawns(|| spawn("nothing", async {}))));
        figures[2].push(plain.block_on(async { tokio::spawn(polls()).await.expect("no panic") }));
        figures[3]
            .push(watched.block_on(async { spawn("polls", polls()).await.expect("no panic") }));
    }
    let [spawn, spawn_watched, poll, poll_watched] = figures.map(median);
    println!("a task: {spawn:.0?} by tokio, {spawn_watched:.0?} watched");
    println!("a poll: {poll:.0?} by tokio, {poll_watched:.0?} watched");
    Ok(())
}

async fn spawns(spawn: impl Fn() -> tokio::task::JoinHandle<()>) -> Duration {
    let started = Instant::now();
    for _ in 0..TIMES {
        let _ = spawn().await;
    }
    started.elapsed() / TIMES
}

async fn polls() -> Duration {
    let started = Instant::now();
    for _ in 0..TIMES {
        yield_now().await;
    }
    started.elapsed() / TIMES
}

fn median(mut figures: Vec<Duration>) -> Duration {
    figures.sort_unstable();
    figures[figures.len() / 2]
}
