//! A flame graph of two seconds, by operation.
//!
//! `cargo run --release --example flame_graph --features cpu-profile > flame.svg`, with
//! `-C force-frame-pointers=yes` in `RUSTFLAGS`

use std::{
    error::Error,
    hint::black_box,
    io::{Write, stdout},
    time::{Duration, Instant},
};

use opentelemetry::trace::SpanContext;
use runtime_insight::{Builder, Operation, cpu::CpuProfiler, spawn_operation};

fn main() -> Result<(), Box<dyn Error>> {
    // Before there are other threads: those are not sampled.
    let profiler = CpuProfiler::start();
    let runtime = Builder::new().build()?;
    let profile = runtime.block_on(async {
        let operation =
            Operation { name: "GET /report", group: "/report", span: SpanContext::NONE };
        spawn_operation(operation, async { compute(Duration::from_secs(2)).await });
        profiler.profile(Duration::from_secs(2)).await
    })?;
    Ok(stdout().write_all(&profile.symbolize().flame_graph()?)?)
}

/// Yields, as real work does at each wait.
async fn compute(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        black_box((0..100_000_u64).map(black_box).sum::<u64>());
        tokio::task::yield_now().await;
    }
}
