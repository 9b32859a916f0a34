//! The values of the variables: what they may be, and what to say if they are something else.

use std::{fs, path::PathBuf, str::FromStr, time::Duration};

use axum::http::{HeaderName, HeaderValue};
use opentelemetry_sdk::metrics::Temporality;
use percent_encoding::percent_decode_str;
use tracing_subscriber::filter::LevelFilter;
use url::Url;

use super::Protocol;
use crate::exception::ExceptionSignal;

/// What stands for no limit of time: the longest time of 32 bits.
const INDEFINITE: Duration = Duration::from_millis(u32::MAX as u64);

/// A pause between exports.
pub fn interval(text: &str) -> Result<Duration, &'static str> {
    match u32::from_str(text) {
        Ok(number @ 1..) => Ok(Duration::from_millis(number.into())),
        _ => Err("must be a number of milliseconds, 1 or more"),
    }
}

/// How long to wait, which may be not at all.
pub fn delay(text: &str) -> Result<Duration, &'static str> {
    match u32::from_str(text) {
        Ok(number) => Ok(Duration::from_millis(number.into())),
        Err(_) => Err("must be a number of milliseconds, 0 or more"),
    }
}

/// A limit of time; 0 is none.
pub fn timeout(text: &str) -> Result<Duration, &'static str> {
    delay(text).map(|limit| if limit.is_zero() { INDEFINITE } else { limit })
}

/// A number of items.
pub fn positive(text: &str) -> Result<usize, &'static str> {
    match u32::from_str(text) {
        Ok(number @ 1..=0x7fff_ffff) => usize::try_from(number).map_err(|_| "must be smaller"),
        _ => Err("must be a number from 1 to 2147483647"),
    }
}

/// A part of all traces.
pub fn ratio(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("must be a number from 0 to 1"),
    }
}

/// A number of things, which may be none.
pub fn count(text: &str) -> Result<u32, &'static str> {
    u32::from_str(text).map_err(|_| "must be a number, 0 or more")
}

/// A transport.
pub fn protocol(name: &str) -> Option<Protocol> {
    match name {
        "grpc" => Some(Protocol::Grpc),
        "http/protobuf" => Some(Protocol::Http),
        _ => None,
    }
}

/// Where a collector listens. `scheme` is for a host and port without one.
pub fn endpoint(text: &str, scheme: Option<&str>) -> Result<Url, &'static str> {
    let url = match scheme {
        Some(scheme) if !text.contains("://") => Url::parse(&format!("{scheme}://{text}")),
        _ => Url::parse(text),
    };
    match url {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("must be a URL such as http://localhost:4318"),
    }
}

/// Whether to compress.
pub fn gzip(name: &str) -> Option<bool> {
    match name {
        "gzip" => Some(true),
        "none" => Some(false),
        _ => None,
    }
}

/// Totals or differences.
pub fn temporality(name: &str) -> Option<Temporality> {
    match name {
        "cumulative" => Some(Temporality::Cumulative),
        "delta" => Some(Temporality::Delta),
        "lowmemory" => Some(Temporality::LowMemory),
        _ => None,
    }
}

/// Whether this propagator is the W3C trace context. Baggage is known, since it is part of the
/// default, but is not read.
pub fn propagator(name: &str) -> Option<bool> {
    match name {
        "tracecontext" => Some(true),
        "baggage" | "none" => Some(false),
        _ => None,
    }
}

/// Where exceptions are recorded.
pub fn exceptions(name: &str) -> Option<ExceptionSignal> {
    match name {
        "logs" => Some(ExceptionSignal::Logs),
        "logs/dup" => Some(ExceptionSignal::Both),
        _ => None,
    }
}

/// From which level on the exporters log.
pub fn log_level(name: &str) -> Option<LevelFilter> {
    match name {
        "none" | "off" => Some(LevelFilter::OFF),
        "error" => Some(LevelFilter::ERROR),
        "warn" | "warning" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" | "verbose" | "all" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

/// Headers.
pub fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, &'static str> {
    const EXPECTED: &str = "must be name=value,name=value with names and values fit for HTTP";
    let header = |(name, value): (String, String)| {
        let name = HeaderName::from_str(&name).map_err(|_| EXPECTED)?;
        Ok((name, HeaderValue::from_str(&value).map_err(|_| EXPECTED)?))
    };
    pairs(text).map_err(|_| EXPECTED)?.into_iter().map(header).collect()
}

/// `key=value,key=value`, percent-encoded.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    const EXPECTED: &str = "must be key=value,key=value, percent-encoded";
    let decode = |part: &str| -> Result<String, &'static str> {
        let decoded = percent_decode_str(part.trim()).decode_utf8().map_err(|_| EXPECTED)?;
        Ok(decoded.into_owned())
    };
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok((decode(key)?, decode(value)?)),
            _ => Err(EXPECTED),
        })
        .collect()
}

/// The content of a file.
pub fn pem(path: &str) -> Result<Vec<u8>, String> {
    let text = fs::read(PathBuf::from(path)).map_err(|error| error.to_string())?;
    if text.windows(11).any(|part| part == b"-----BEGIN ") {
        Ok(text)
    } else {
        Err("must be a file in PEM format".to_owned())
    }
}
