//! Where a browser's request comes from: which web sites may ask, and read the answers.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::csrf;
use crate::telemetry::http::TRACERESPONSE;

/// How long a browser may remember that it may ask.
const REMEMBERED: Duration = Duration::from_mins(10);

/// The web sites that may ask, beside the service's own pages.
#[derive(Clone, Debug)]
pub struct Origins(Arc<[HeaderValue]>);

impl Origins {
    /// These, as `COLOPHON_ALLOWED_ORIGINS` has them.
    #[must_use]
    pub fn new(listed: &[String]) -> Self {
        // Checked by the settings.
        Self(listed.iter().filter_map(|origin| origin.parse().ok()).collect())
    }

    /// Whether the page that a request comes from may ask: one of the service's own, or of a site that
    /// is listed. Requests that say nothing come from no browser, or are of no page. For WebSockets,
    /// which browsers let any page open.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => self.0.contains(origin) || is_own(origin, headers),
            (Some(_), Some(_)) => false,
        }
    }

    /// What tells browsers which sites may ask, if any may.
    #[must_use]
    pub fn cors(&self) -> Option<CorsLayer> {
        if self.0.is_empty() {
            return None;
        }
        let own = ["traceparent", "tracestate"].map(HeaderName::from_static);
        let asked = [header::CONTENT_TYPE, header::AUTHORIZATION].into_iter();
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.0.iter().cloned()))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(
                asked.chain(csrf::HEADERS.iter().cloned()).chain(own).collect::<Vec<_>>(),
            )
            .expose_headers([TRACERESPONSE, header::RETRY_AFTER])
            .max_age(REMEMBERED);
        Some(layer)
    }
}

/// Whether a page is of the host that the request is for. A proxy may have taken TLS off, so that the
/// scheme says nothing.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_ascii_lowercase);
    let (Some(origin), Some(host)) = (text(origin), headers.get(header::HOST).and_then(text))
    else {
        return false;
    };
    if host.is_empty() {
        return false;
    }
    match origin.split_once("://") {
        Some(("http", authority)) => authority == host.trim_end_matches(":80"),
        Some(("https", authority)) => authority == host.trim_end_matches(":443"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_pages_and_listed_sites_may_ask() {
        let origins = Origins::new(&["https://books.example".to_owned()]);
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
            assert_eq!(origins.allows(&headers), allowed, "{origin} at {host}");
        }
        assert!(origins.allows(&HeaderMap::new()));
    }

    #[test]
    fn two_origins_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::ORIGIN, "https://books.example".parse().unwrap());
        headers.append(header::ORIGIN, "https://evil.example".parse().unwrap());
        assert!(!Origins::new(&["https://books.example".to_owned()]).allows(&headers));
    }
}
