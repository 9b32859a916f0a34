//! The asynchronous runtime, and looking into it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Args};
use runtime_insight::console::ConsoleOptions;

use super::values::{capacity, duration, host_and_port, switch};

/// The asynchronous runtime, and looking into it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Runtime")]
pub struct RuntimeSettings {
    /// Whether to measure tasks and polls: the profile of each operation, slow polls, histograms
    #[arg(long, global = true, env = "COLOPHON_RUNTIME_PROFILING", default_value = "true",
        value_parser = switch, action = ArgAction::Set, value_name = "true|false")]
    pub runtime_profiling: bool,
    /// The duration from which a poll is slow: counted and logged
    #[arg(long, global = true, env = "COLOPHON_SLOW_POLL", default_value = "10ms",
        value_parser = duration, value_name = "TIME")]
    pub slow_poll: Duration,
    /// How long all workers may be blocked before /livez fails
    #[arg(long, global = true, env = "COLOPHON_STALL_LIMIT", default_value = "5s",
        value_parser = duration, value_name = "TIME")]
    pub stall_limit: Duration,
    /// tokio-console.
    #[command(flatten)]
    pub console: ConsoleSettings,
    /// Record continuously, keeping the last minutes
    #[arg(long, global = true, env = "COLOPHON_FLIGHT_RECORDER", value_parser = switch)]
    pub flight_recorder: bool,
    /// Maximum size of a recording, in MiB; the oldest part is dropped
    #[arg(long, global = true, env = "COLOPHON_RECORDING_SIZE", default_value = "64",
        value_parser = clap::value_parser!(u16).range(4..=1024), value_name = "MIB")]
    pub recording_size: u16,
    /// Add fields that misbehave on purpose, for demonstrations (loopback only)
    #[arg(long, global = true, env = "COLOPHON_LAB", value_parser = switch)]
    pub lab: bool,
}

/// tokio-console, with the variables that console-subscriber knows.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Runtime")]
pub struct ConsoleSettings {
    /// Enable tokio-console
    #[arg(long = "tokio-console", global = true, env = "TOKIO_CONSOLE", value_parser = switch)]
    pub enabled: bool,
    /// The address that tokio-console connects to; it is not authenticated
    #[arg(long = "tokio-console-bind", global = true, env = "TOKIO_CONSOLE_BIND",
        default_value = "127.0.0.1:6669", value_parser = host_and_port, value_name = "HOST:PORT")]
    pub bind: SocketAddr,
    /// How long ended tasks are kept for tokio-console
    #[arg(long = "tokio-console-retention", global = true, env = "TOKIO_CONSOLE_RETENTION",
        default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub retention: Duration,
    /// How often updates are sent to tokio-console
    #[arg(long = "tokio-console-publish-interval", global = true,
        env = "TOKIO_CONSOLE_PUBLISH_INTERVAL", default_value = "1s", value_parser = duration,
        value_name = "TIME")]
    pub publish_interval: Duration,
    /// The size of tokio-console's event buffer; events beyond it are dropped
    #[arg(long = "tokio-console-buffer-capacity", global = true,
        env = "TOKIO_CONSOLE_BUFFER_CAPACITY", default_value = "102400", value_parser = capacity,
        value_name = "N")]
    pub buffer_capacity: usize,
    /// A file to record tokio-console's events to
    #[arg(
        long = "tokio-console-record-path",
        global = true,
        env = "TOKIO_CONSOLE_RECORD_PATH",
        value_name = "FILE"
    )]
    pub record_path: Option<PathBuf>,
}

impl ConsoleSettings {
    /// How to serve tokio-console, if it is to be let in.
    #[must_use]
    pub fn options(&self) -> Option<ConsoleOptions> {
        self.enabled.then(|| ConsoleOptions {
            bind: self.bind,
            retention: self.retention,
            publish_interval: self.publish_interval,
            buffer_capacity: self.buffer_capacity,
            record_path: self.record_path.clone(),
        })
    }
}
