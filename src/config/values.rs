//! What the values of settings may be, each with an error that says what would be right.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use axum::http::{HeaderName, uri::Authority};
use ipnet::IpNet;
use jsonwebtoken::Algorithm;
use tracing_subscriber::EnvFilter;

use crate::security::scopes::Scope;

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

/// The address of a page about a trace.
pub(super) fn trace_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.filter(|_| text.contains("{trace_id}")).map(|_| text.to_owned()).ok_or_else(|| {
        "must be an http or https URL with {trace_id} in it, such as \
         http://localhost:3000/trace/{trace_id}"
            .to_owned()
    })
}

/// Levels that the recursive parser can take.
pub(super) fn nesting(text: &str) -> Result<usize, String> {
    positive(text)
        .ok()
        .filter(|number| *number <= 64)
        .ok_or_else(|| "must be a whole number from 1 to 64".to_owned())
}

/// A web site, as browsers send it in `Origin`.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map(|url| url.origin().ascii_serialization())
        .filter(|origin| origin.eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            "must be scheme, host and port if it is not the usual one, such as https://books.example; \
             there is no origin for all (*)"
                .to_owned()
        })
}

/// The name of a header.
pub(super) fn header_name(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_| "must be the name of a header, such as x-tenant".to_owned())
}

/// A host without a port.
pub(super) fn host(text: &str) -> Result<String, String> {
    let authority = text.parse::<Authority>().ok().filter(|authority| authority.host() == text);
    authority
        .map(|authority| authority.host().to_ascii_lowercase())
        .ok_or_else(|| "must be a host without scheme and port, such as books.example".to_owned())
}

/// An address or a network.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(|address| address.to_canonical().into());
    address.or_else(|_| text.parse()).map_err(|_| {
        "must be an IP address or a network, such as 10.0.0.0/8 or 2001:db8::/32".to_owned()
    })
}

/// A role, and what it allows.
pub(super) fn role(text: &str) -> Result<(String, Scope), String> {
    let parts = text.split_once('=').filter(|(role, _)| !role.is_empty());
    let (role, scope) = parts.ok_or("must be ROLE=SCOPE, such as librarian=books:write")?;
    Ok((role.to_owned(), scope.parse()?))
}

/// A public-key algorithm. With a shared secret, whatever checks tokens could make them, and a
/// public key could be taken for the secret.
pub(super) fn algorithm(text: &str) -> Result<Algorithm, String> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    text.parse()
        .ok()
        .filter(|algorithm| {
            [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA].contains(algorithm)
        })
        .ok_or_else(|| {
            "must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"
                .to_owned()
        })
}

/// Where keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file, with a JWK set or one public key.
    File(PathBuf),
    /// The address of a JWK set.
    Url(url::Url),
}

/// A text that is never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, to compare with.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A file or a URL that nobody on the way can change the response of.
pub(super) fn key_source(text: &str) -> Result<KeySource, String> {
    let Some((scheme, _)) = text.split_once("://") else { return Ok(KeySource::File(text.into())) };
    let url = url::Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    let is_local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match scheme {
        "https" => Ok(KeySource::Url(url)),
        "http" if is_local => Ok(KeySource::Url(url)),
        _ => Err("must be a file or an https URL (http on this machine only)".to_owned()),
    }
}

/// A secret that cannot be guessed.
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    let is_token = text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_token
        .then(|| Secret::new(text))
        .ok_or_else(|| "must have 16 characters at least, without spaces".to_owned())
}

/// A word for a line of the file of tokens.
pub(super) fn token_name(text: &str) -> Result<String, String> {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c));
    is_word
        .then(|| text.to_owned())
        .ok_or_else(|| "must be of letters, digits, and - _ . @ behind the first".to_owned())
}
