//! The listeners, and how they end.

use std::{net::SocketAddr, time::Duration};

use clap::{ArgAction, Args};

use super::values::{address, duration, switch};

/// The listeners.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Serving")]
pub struct HttpSettings {
    /// Where to serve the catalog
    #[arg(long, global = true, env = "COLOPHON_LISTEN", default_value = "127.0.0.1:8000",
        value_parser = address, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where to serve the admin UI, /livez, /readyz, /metrics and /debug
    #[arg(long, global = true, env = "COLOPHON_ADMIN_LISTEN", default_value = "127.0.0.1:9464",
        value_parser = address, value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,
    /// Whether the admin listener serves the admin UI; by default it does, but with --production
    #[arg(long, global = true, env = "COLOPHON_ADMIN_UI", value_parser = switch,
        action = ArgAction::Set, value_name = "true|false")]
    pub admin_ui: Option<bool>,
    /// Compress responses by gzip, Brotli or Zstandard for clients that accept it; a proxy
    /// in front may do it instead
    #[arg(long, global = true, env = "COLOPHON_COMPRESSION", default_value = "true",
        value_parser = switch, action = ArgAction::Set, value_name = "true|false")]
    pub compression: bool,
    /// Time for requests in flight to finish after SIGTERM
    #[arg(long, global = true, env = "COLOPHON_DRAIN_TIMEOUT", default_value = "10s",
        value_parser = duration, value_name = "TIME")]
    pub drain_timeout: Duration,
    /// Time for the last telemetry to be exported after that
    #[arg(long, global = true, env = "COLOPHON_FLUSH_TIMEOUT", default_value = "5s",
        value_parser = duration, value_name = "TIME")]
    pub flush_timeout: Duration,
}
