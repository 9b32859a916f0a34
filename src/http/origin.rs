//! Where a browser's request comes from: which web sites may ask, and read the responses.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use graphql_telemetry::http::{Forwarded, TRACERESPONSE};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::csrf;

/// How long a browser may remember that it may ask.
const REMEMBERED: Duration = Duration::from_mins(10);

/// What clients of GraphQL and of tracing are known to send.
const CLIENT_HEADERS: [HeaderName; 7] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("sentry-trace"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("apollographql-client-name"),
    HeaderName::from_static("apollographql-client-version"),
];

/// The web sites that may ask, beside the service's own pages.
#[derive(Clone, Debug)]
pub struct AllowedOrigins {
    listed: Arc<[HeaderValue]>,
    /// Request headers that their pages may send, beside those that are known.
    headers: Arc<[HeaderName]>,
}

impl AllowedOrigins {
    /// These, as `COLOPHON_ALLOWED_ORIGINS` has them, whose pages may send `headers` too.
    #[must_use]
    pub fn new(listed: &[String], headers: &[HeaderName]) -> Self {
        // Checked by the settings.
        let listed = listed.iter().filter_map(|origin| origin.parse().ok()).collect();
        Self { listed, headers: headers.into() }
    }

    /// Whether the page that a request comes from may ask: one of the service's own, or of a site that
    /// is listed. Requests that say nothing come from no browser, or are of no page. For WebSockets,
    /// which browsers let any page open. What a trusted proxy was asked goes before `Host`.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap, forwarded: Option<&Forwarded>) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => {
                self.listed.contains(origin) || is_own(origin, headers, forwarded)
            }
            (Some(_), Some(_)) => false,
        }
    }

    /// The CORS layer, if any sites are allowed.
    #[must_use]
    pub fn cors(&self) -> Option<CorsLayer> {
        if self.listed.is_empty() {
            return None;
        }
        let asked = [header::CONTENT_TYPE, header::AUTHORIZATION].into_iter();
        let asked = asked.chain(csrf::HEADERS.iter().cloned()).chain(CLIENT_HEADERS);
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.listed.iter().cloned()))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(asked.chain(self.headers.iter().cloned()).collect::<Vec<_>>())
            .expose_headers([TRACERESPONSE, header::RETRY_AFTER])
            .max_age(REMEMBERED);
        Some(layer)
    }
}

/// Whether a page is of the host that the request is for. A proxy may have taken TLS off, so that the
/// scheme says nothing unless the proxy reports it.
fn is_own(origin: &HeaderValue, headers: &HeaderMap, forwarded: Option<&Forwarded>) -> bool {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_ascii_lowercase);
    let Some(origin) = text(origin) else { return false };
    if let Some(is_own) = forwarded.and_then(|forwarded| is_origin(forwarded, &origin)) {
        return is_own;
    }
    let Some(host) = headers.get(header::HOST).and_then(text) else { return false };
    if host.is_empty() {
        return false;
    }
    match origin.split_once("://") {
        Some(("http", authority)) => authority == host.trim_end_matches(":80"),
        Some(("https", authority)) => authority == host.trim_end_matches(":443"),
        _ => false,
    }
}

/// Whether the client asked `origin`, if a proxy says which host it asked.
fn is_origin(forwarded: &Forwarded, origin: &str) -> Option<bool> {
    let host = forwarded.host.as_ref()?.as_str().to_ascii_lowercase();
    let Some((scheme, authority)) = origin.split_once("://") else { return Some(false) };
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let is_same_scheme = forwarded.scheme.is_none_or(|own| own == scheme);
    let is_known = matches!(scheme, "http" | "https");
    Some(is_known && is_same_scheme && authority == host.trim_end_matches(default_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_the_origin_with_the_requested_host() {
        let forwarded = Forwarded {
            scheme: Some("https"),
            host: Some("Books.example:443".parse().unwrap()),
            client: None,
        };
        assert_eq!(is_origin(&forwarded, "https://books.example"), Some(true));
        assert_eq!(is_origin(&forwarded, "http://books.example"), Some(false));
        assert_eq!(is_origin(&forwarded, "null"), Some(false));
        assert_eq!(is_origin(&Forwarded::default(), "https://books.example"), None);
    }

    #[test]
    fn allows_its_own_pages_and_listed_sites() {
        let origins = AllowedOrigins::new(&["https://books.example".to_owned()], &[]);
        for (host, origin, allowed) in [
            ("localhost:8000", "http://localhost:8000", true),
            ("api.example", "https://api.example", true),
            ("api.example:443", "https://api.example", true),
            ("API.example", "http://api.example", true),
            ("api.example", "https://books.example", true),
            ("api.example", "http://books.example", false),
            ("api.example", "https://books.example.evil.example", false),
            ("api.example", "https://evil.example", false),
            ("localhost:8000", "http://localhost:3000", false),
            ("api.example", "null", false),
            ("null", "null", false),
            ("", "http://", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            assert_eq!(origins.allows(&headers, None), allowed, "{origin} at {host}");
        }
        assert!(origins.allows(&HeaderMap::new(), None));
    }

    #[test]
    fn rejects_two_origins() {
        let mut headers = HeaderMap::new();
        headers.append(header::ORIGIN, "https://books.example".parse().unwrap());
        headers.append(header::ORIGIN, "https://evil.example".parse().unwrap());
        assert!(
            !AllowedOrigins::new(&["https://books.example".to_owned()], &[]).allows(&headers, None)
        );
    }
}
