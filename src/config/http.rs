//! The listeners, and how they end.

use std::{net::SocketAddr, time::Duration};

use clap::Args;

use super::values::{address, duration};

/// The listeners.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Serving")]
pub struct HttpSettings {
    /// Where to serve the catalogue
    #[arg(long, global = true, env = "COLOPHON_LISTEN", default_value = "127.0.0.1:8000",
        value_parser = address, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where to serve /livez, /readyz and /metrics
    #[arg(long, global = true, env = "COLOPHON_ADMIN_LISTEN", default_value = "127.0.0.1:9464",
        value_parser = address, value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,
    /// How long requests in flight may take to finish after SIGTERM
    #[arg(long, global = true, env = "COLOPHON_DRAIN_TIMEOUT", default_value = "10s",
        value_parser = duration, value_name = "TIME")]
    pub drain_timeout: Duration,
    /// How long the last telemetry may take to leave after that
    #[arg(long, global = true, env = "COLOPHON_FLUSH_TIMEOUT", default_value = "5s",
        value_parser = duration, value_name = "TIME")]
    pub flush_timeout: Duration,
}
