//! The names by which the service may be asked: the guard against DNS rebinding, by which a web page
//! has its own host name point to this machine, and is then of the same origin as the service.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::Request,
    http::{header, uri::Authority},
};
use graphql_telemetry::http::Forwarded;

use crate::config::security::is_loopback;

/// The message of the response to a request for another host.
pub const REFUSAL: &str = "Without a token this is served as localhost only. Name further hosts by \
                           COLOPHON_ALLOWED_HOSTS, or set up tokens.";

/// The hosts that a listener may be asked for.
#[derive(Clone, Debug)]
pub struct Hosts(Option<Arc<Allowed>>);

#[derive(Debug)]
struct Allowed {
    listening: IpAddr,
    further: Vec<String>,
}

impl Hosts {
    /// Those of a listener: any, but on the loopback without a token `localhost`, the addresses of
    /// the loopback that it can have, and `further`.
    #[must_use]
    pub fn new(listen: SocketAddr, is_open: bool, further: &[String]) -> Self {
        let is_guarded = is_open && is_loopback(listen);
        Self(is_guarded.then(|| {
            Arc::new(Allowed { listening: listen.ip().to_canonical(), further: further.to_vec() })
        }))
    }

    /// Whether the request is for one of them. Browsers say always for which it is.
    #[must_use]
    pub fn allows(&self, request: &Request) -> bool {
        let Some(allowed) = &self.0 else { return true };
        let by_header = request.headers().get_all(header::HOST).iter().map(|host| {
            let authority = Authority::try_from(host.as_bytes()).ok();
            // Without the name of a user, which no browser sends.
            authority
                .filter(|authority| !authority.as_str().contains('@'))
                .is_some_and(|authority| allowed.contains(authority.host()))
        });
        let by_uri = request.uri().host().map(|host| allowed.contains(host));
        // Beside the other two and not in their place: a page that comes straight to this machine can
        // say of itself that it was forwarded.
        let forwarded = request.extensions().get::<Forwarded>();
        let by_proxy = forwarded.and_then(|forwarded| forwarded.host.as_ref());
        let by_proxy = by_proxy.map(|authority| allowed.contains(authority.host()));
        by_header.chain(by_uri).chain(by_proxy).all(|is_allowed| is_allowed)
    }
}

impl Allowed {
    fn contains(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str())
            || host.trim_matches(['[', ']']).parse() == Ok(self.listening)
            || self.further.contains(&host)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn allows(listen: &str, is_open: bool, host: &str) -> bool {
        let hosts = Hosts::new(listen.parse().unwrap(), is_open, &["books.example".to_owned()]);
        hosts.allows(&Request::builder().header(header::HOST, host).body(Body::empty()).unwrap())
    }

    #[test]
    fn allows_only_local_hosts_without_a_token() {
        for (host, allowed) in [
            ("localhost", true),
            ("LocalHost:8000", true),
            ("127.0.0.1:8000", true),
            ("[::1]:8000", true),
            ("127.0.0.2", true),
            ("books.example:8000", true),
            ("evil.example", false),
            ("localhost.evil.example:8000", false),
            ("evil.example:8000@localhost", false),
            ("localhost@evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("192.168.1.2", false),
            ("", false),
            ("local host", false),
        ] {
            assert_eq!(allows("127.0.0.2:8000", true, host), allowed, "{host}");
        }
        for (listen, is_open) in [("127.0.0.1:8000", false), ("0.0.0.0:8000", true)] {
            assert!(allows(listen, is_open, "api.example"), "{listen}");
        }
    }

    #[test]
    fn checks_the_forwarded_host() {
        let hosts = Hosts::new("127.0.0.1:8000".parse().unwrap(), true, &["books.example".into()]);
        for (host, forwarded, allowed) in [
            ("localhost:8000", "books.example", true),
            ("localhost:8000", "evil.example", false),
            ("evil.example", "localhost", false),
        ] {
            let forwarded =
                Forwarded { host: Some(forwarded.parse().unwrap()), ..Forwarded::default() };
            let request = Request::builder().header(header::HOST, host).extension(forwarded);
            assert_eq!(hosts.allows(&request.body(Body::empty()).unwrap()), allowed, "{host}");
        }
    }

    #[test]
    fn checks_the_host_of_the_request_target() {
        let hosts = Hosts::new("[::1]:8000".parse().unwrap(), true, &[]);
        let request = Request::builder().uri("http://evil.example/").header(header::HOST, "[::1]");
        assert!(!hosts.allows(&request.body(Body::empty()).unwrap()));
    }
}
