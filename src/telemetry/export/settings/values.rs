//! The values of the variables: what they may be, and what to say if they are something else.

use std::{fs, path::PathBuf, str::FromStr, time::Duration};

use axum::http::{HeaderName, HeaderValue};
use opentelemetry_sdk::metrics::Temporality;
use percent_encoding::percent_decode_str;
use url::Url;

use super::Protocol;
use crate::telemetry::exception::ExceptionSignal;

/// Yes or no.
pub fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    }
}

/// A time.
pub fn milliseconds(text: &str) -> Result<Duration, &'static str> {
    match u64::from_str(text) {
        Ok(number) if number > 0 => Ok(Duration::from_millis(number)),
        _ => Err("must be a number of milliseconds, 1 or more"),
    }
}

/// A number of items.
pub fn positive(text: &str) -> Result<usize, &'static str> {
    match usize::from_str(text) {
        Ok(number @ 1..=10_000_000) => Ok(number),
        _ => Err("must be a number from 1 to 10000000"),
    }
}

/// A number of things, which may be none.
pub fn count(text: &str) -> Result<u32, &'static str> {
    u32::from_str(text).map_err(|_| "must be a number, 0 or more")
}

/// A transport.
pub fn protocol(text: &str) -> Result<Protocol, &'static str> {
    match text {
        "grpc" => Ok(Protocol::Grpc),
        "http/protobuf" => Ok(Protocol::Http),
        _ => Err("must be grpc or http/protobuf"),
    }
}

/// Where a collector listens.
pub fn endpoint(text: &str) -> Result<Url, &'static str> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("must be a URL such as http://localhost:4318"),
    }
}

/// Whether to compress.
pub fn gzip(text: &str) -> Result<bool, &'static str> {
    match text {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err("must be gzip or none"),
    }
}

/// Totals or differences.
pub fn temporality(text: &str) -> Result<Temporality, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "cumulative" => Ok(Temporality::Cumulative),
        "delta" => Ok(Temporality::Delta),
        "lowmemory" => Ok(Temporality::LowMemory),
        _ => Err("must be cumulative, delta or lowmemory"),
    }
}

/// Whether the W3C trace context is among them. Baggage may be named, since it is part of the
/// default, but is not read.
pub fn propagators(text: &str) -> Result<bool, &'static str> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    if names.iter().all(|name| ["tracecontext", "baggage", "none"].contains(name)) {
        Ok(names.contains(&"tracecontext"))
    } else {
        Err("must be tracecontext or none")
    }
}

/// Where exceptions are told.
pub fn exceptions(text: &str) -> Result<ExceptionSignal, &'static str> {
    match text {
        "logs" => Ok(ExceptionSignal::Logs),
        "logs/dup" => Ok(ExceptionSignal::Both),
        _ => Err("must be logs or logs/dup"),
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
