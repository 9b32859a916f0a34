//! Sees what a tokio program does, from inside the program: which task blocks a worker, where each
//! task is parked, what the CPU is spent on.
//!
//! ```
//! use runtime_insight::{Builder, spawn};
//!
//! let runtime = Builder::new().build()?; // slow polls are logged from here on
//! runtime.block_on(async { spawn("price feed", async { /* … */ }).await })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! | what | how | feature |
//! |---|---|---|
//! | tasks with names, and the operation that each works for | [`spawn`], [`spawn_operation`], [`live`] | |
//! | polls that block a worker, reported while they last | [`Builder::slow_poll`], [`watchdog`] | |
//! | time of a task: busy, scheduled, idle | [`timed`] | |
//! | a dump of all tasks: name, age, trace, where it is parked | [`dump`](mod@dump) | `dump` |
//! | a CPU profile by operation, for pprof or as a flame graph | [`cpu`] | `cpu-profile` |
//! | a recording of every poll and wake, for dial9's viewer | [`recorder`] | `flight-recorder` |
//! | metrics of the runtime, through the facade `metrics` | [`metrics`] | `metrics` |
//! | tokio-console, at a bounded cost | [`console`] | `console` |
//!
//! # Platforms
//!
//! | | Linux, `tokio_unstable` | Linux | macOS, `tokio_unstable` |
//! |---|---|---|---|
//! | names, registry, time of tasks | yes | yes | yes |
//! | slow polls | all tasks | tasks of this crate | all tasks |
//! | dump | yes | unsupported | unsupported |
//! | CPU profile | yes | yes, without operations of libraries' tasks | unavailable |
//! | flight recorder | yes | polls only | without CPU samples |
//! | metrics | all | tasks, workers, global queue | all |
//! | tokio-console | yes | no | yes |
//!
//! It is tested on Linux, with and without `tokio_unstable`; for macOS it is compiled only.
//!
//! tokio's hooks, names of tasks, dumps and most metrics are unstable and need
//! `RUSTFLAGS="--cfg tokio_unstable"`; stacks of CPU profiles need `-C force-frame-pointers=yes`. Set
//! both in `.cargo/config.toml` of the program: a dependency cannot. Everything builds without them.
//!
//! # Cost
//!
//! A task costs an entry in a sharded map, a poll an uncontended lock and two readings of the
//! clock. `cargo run --release --example cost` measures both.

#![cfg_attr(
    not(all(target_os = "linux", tokio_unstable, feature = "dump", feature = "flight-recorder")),
    allow(dead_code, unused_imports, reason = "parts are for what is not there")
)]

mod builder;
mod capture;
#[cfg(feature = "metrics")]
pub mod catalog;
#[cfg(all(feature = "console", tokio_unstable))]
pub mod console;
#[cfg(feature = "cpu-profile")]
pub mod cpu;
#[cfg(feature = "dump")]
pub mod dump;
mod hooks;
#[cfg(feature = "metrics")]
pub mod metrics;
mod rate_limiter;
#[cfg(feature = "flight-recorder")]
pub mod recorder;
mod spawn;
mod symbols;
mod task;
mod task_time;
pub mod watchdog;
pub mod worker;

pub use self::{
    builder::Builder,
    capture::trace_point,
    rate_limiter::RateLimiter,
    spawn::{spawn, spawn_in, spawn_operation},
    task::{Operation, Task, live},
    task_time::{TaskTime, Timed, timed},
    worker::{InSection, Section, in_section},
};
