//! Log lines on standard output. Only serving has them: the output of other commands is data.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Readable on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Readable lines.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Starts logging.
///
/// # Errors
/// If a subscriber was installed before.
pub fn init(format: LogFormat, filter: EnvFilter) -> Result<(), String> {
    let pretty = match format {
        LogFormat::Auto => std::io::stdout().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if pretty {
        fmt::layer().with_target(false).with_filter(filter).boxed()
    } else {
        fmt::layer().json().flatten_event(true).with_filter(filter).boxed()
    };
    tracing_subscriber::registry().with(lines).try_init().map_err(|error| error.to_string())
}
