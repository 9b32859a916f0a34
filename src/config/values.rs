//! What the values of settings may be, each with an error that says what would be right.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use tracing_subscriber::EnvFilter;

/// An IP address and a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8000".to_owned())
}

/// A host and a port, resolved.
pub(super) fn host_and_port(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found
        .ok_or_else(|| "must be a host that is known and a port, such as localhost:6669".to_owned())
}

/// A number of events.
pub(super) fn capacity(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1024..=10_000_000).contains(number))
        .ok_or_else(|| "must be a number from 1024 to 10000000".to_owned())
}

/// A time such as 10s.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .ok()
        .filter(|time| (Duration::from_millis(1)..=Duration::from_hours(24)).contains(time))
        .ok_or_else(|| "must be a time from 1ms to 24h, such as 500ms, 10s or 1m".to_owned())
}

/// A whole number from 1 on.
pub(super) fn positive(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "must be a whole number from 1 on".to_owned())
}

/// Yes or no, as people write it.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// A filter of log lines.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| {
        format!("must be a tracing filter such as info or colophon=debug,info ({error})")
    })
}

/// Levels that the recursive parser can take.
pub(super) fn nesting(text: &str) -> Result<usize, String> {
    positive(text)
        .ok()
        .filter(|number| *number <= 64)
        .ok_or_else(|| "must be a whole number from 1 to 64".to_owned())
}
