//! What proxies say of the requests that they pass on: `Forwarded` (RFC 7239), or else
//! `X-Forwarded-For`, `-Proto` and `-Host`. Anybody can send these headers, so they are read only
//! where a proxy that is trusted sent them, and only as far back as trusted proxies wrote them.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority};
use graphql_telemetry::http::Forwarded;
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// How many proxies a request may have passed; what stands further to the left is not read.
const MAX_PROXIES: usize = 32;

/// The proxies whose headers are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// The proxies of these networks.
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Whether a proxy with this address is trusted.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// What the headers of a request from `peer` say, if `peer` is a trusted proxy and they say
    /// anything. Values that are ill-formed are left out.
    #[must_use]
    pub fn forwarded(&self, peer: SocketAddr, headers: &HeaderMap) -> Option<Forwarded> {
        if self.0.is_empty() || !self.contains(peer.ip()) {
            return None;
        }
        let forwarded = match self.by_standard(headers) {
            Some(forwarded) if headers.contains_key(X_FORWARDED_FOR) => {
                // A proxy that writes one of them may pass on the other as the client sent it.
                Some(forwarded).filter(|f| self.by_convention(headers).client == f.client)
            }
            Some(forwarded) => Some(forwarded),
            None if headers.contains_key(header::FORWARDED) => None,
            None => Some(self.by_convention(headers)),
        };
        forwarded.filter(|forwarded| *forwarded != Forwarded::default())
    }

    /// By `Forwarded`, unless there is none or it is ill-formed.
    fn by_standard(&self, headers: &HeaderMap) -> Option<Forwarded> {
        let mut elements = Vec::new();
        for value in headers.get_all(header::FORWARDED) {
            elements.extend(parse(value.to_str().ok()?)?);
        }
        let mut found = None;
        for element in elements.into_iter().rev().take(MAX_PROXIES) {
            let client = element.client;
            found = Some(element);
            if client.is_none_or(|client| !self.contains(client)) {
                break;
            }
        }
        found
    }

    /// By the headers that were there before the standard.
    fn by_convention(&self, headers: &HeaderMap) -> Forwarded {
        let (mut client, mut hops) = (None, 0);
        for text in from_right(headers, &X_FORWARDED_FOR).take(MAX_PROXIES) {
            client = text.and_then(node);
            match client {
                Some(address) if self.contains(address) => hops += 1,
                _ => break,
            }
        }
        // All are proxies: the first of them is the client.
        let count = from_right(headers, &X_FORWARDED_FOR).count();
        let hop = hops.min(count.saturating_sub(1));
        // Each proxy appends its own value, or the nearest to the client is the only one that does.
        let at = |name| {
            let mut values = from_right(headers, name).take(hop + 1);
            values.by_ref().last().flatten()
        };
        Forwarded {
            client,
            scheme: at(&X_FORWARDED_PROTO).and_then(scheme),
            host: at(&X_FORWARDED_HOST).and_then(host),
        }
    }
}

/// The members of a list header, the last first; `None` for lines that are no text.
fn from_right<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    lines.into_iter().rev().flat_map(|line| {
        let text = line.to_str().ok();
        let members = text.unwrap_or_default().rsplit(',').map(str::trim);
        members.map(move |member| text.map(|_| member))
    })
}

/// The elements of a line of `Forwarded`; `None` if it is ill-formed.
fn parse(line: &str) -> Option<Vec<Forwarded>> {
    let mut elements = vec![Forwarded::default()];
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        rest = match rest.as_bytes()[0] {
            b',' => {
                elements.push(Forwarded::default());
                rest[1..].trim_start()
            }
            b';' => rest[1..].trim_start(),
            _ => {
                let (name, value) = rest.split_once('=')?;
                if name.is_empty() || !name.bytes().all(is_token) {
                    return None;
                }
                let (value, after) = unquote(value)?;
                let element = elements.last_mut()?;
                match name.to_ascii_lowercase().as_str() {
                    "for" => element.client = node(&value),
                    "proto" => element.scheme = scheme(&value),
                    "host" => element.host = host(&value),
                    _ => {}
                }
                let after = after.trim_start();
                if !after.is_empty() && !after.starts_with([',', ';']) {
                    return None;
                }
                after
            }
        };
    }
    Some(elements)
}

/// A token or a quoted string, and what comes behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let (mut value, mut characters) = (String::new(), quoted.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

/// RFC 9110, 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// An address, perhaps with a port or in brackets; `None` also for `unknown` and made-up names.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        // The port may be made up too: `_gazonk`.
        let (address, port) = bracketed.split_once(']')?;
        let is_port = port.is_empty() || port.starts_with(":_");
        return address
            .parse()
            .ok()
            .filter(|_| is_port)
            .map(|address: IpAddr| address.to_canonical());
    }
    let (address, _) = text.split_once(":_")?;
    address.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4)
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme))
}

fn host(text: &str) -> Option<Authority> {
    text.parse().ok().filter(|host: &Authority| !host.as_str().contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(peer: &str, lines: &[(&'static str, &str)]) -> Option<Forwarded> {
        let networks = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|text| text.parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        TrustedProxies::new(&networks)
            .forwarded(SocketAddr::new(peer.parse().unwrap(), 1), &headers)
    }

    fn client(lines: &[(&'static str, &str)]) -> String {
        let client = forwarded("10.0.0.1", lines).and_then(|forwarded| forwarded.client);
        client.map_or_else(|| "peer".to_owned(), |client| client.to_string())
    }

    #[test]
    fn takes_the_rightmost_address_that_is_no_proxy() {
        for (value, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("198.51.100.1, 192.0.2.7", "192.0.2.7"),
            ("198.51.100.1, 192.0.2.7, 10.1.1.1,10.2.2.2", "192.0.2.7"),
            ("10.3.3.3, 10.1.1.1", "10.3.3.3"),
            ("192.0.2.7:4711", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("2001:db8::7, 2001:db8:ffff::1", "2001:db8::7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("192.0.2.7, nonsense", "peer"),
            ("192.0.2.7, nonsense, 10.1.1.1", "peer"),
            ("192.0.2.7,", "peer"),
            ("192.0.2.300", "peer"),
            ("", "peer"),
        ] {
            assert_eq!(client(&[("x-forwarded-for", value)]), expected, "{value}");
        }
        let lines = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-for", "10.1.1.1")];
        assert_eq!(client(&lines), "192.0.2.7");
    }

    #[test]
    fn parses_the_forwarded_header() {
        for (value, expected) in [
            ("for=192.0.2.7", "192.0.2.7"),
            ("For=\"192.0.2.7:4711\";proto=https", "192.0.2.7"),
            ("for=\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("for=\"[2001:db8::7]:_port\"", "2001:db8::7"),
            ("for=\"[2001:db8::7]\"", "2001:db8::7"),
            ("for=198.51.100.1, for=192.0.2.7 , for=10.1.1.1", "192.0.2.7"),
            ("for=192.0.2.7;by=\"a, for=10.1.1.1\"", "192.0.2.7"),
            ("for=\"192.0\\.2.7\"", "192.0.2.7"),
            ("for=192.0.2.7, for=unknown", "peer"),
            ("for=192.0.2.7, for=_hidden, for=10.1.1.1", "peer"),
            ("for=\"192.0.2.7", "peer"),
            ("for=192.0.2.7 proto=https", "peer"),
            ("for=192.0.2.7;=x", "peer"),
            ("for 192.0.2.7", "peer"),
        ] {
            assert_eq!(client(&[("forwarded", value)]), expected, "{value}");
        }
        let lines = [("forwarded", "for=192.0.2.7"), ("forwarded", "for=10.1.1.1")];
        assert_eq!(client(&lines), "192.0.2.7");
    }

    #[test]
    fn takes_scheme_and_host_from_the_same_proxy() {
        let expected = |scheme, host: &str| Forwarded {
            client: Some([192, 0, 2, 7].into()),
            scheme: Some(scheme),
            host: Some(host.parse().unwrap()),
        };
        let chain = "for=192.0.2.7;proto=https;host=\"books.example:8443\", for=10.1.1.1;proto=http;host=inner";
        assert_eq!(
            forwarded("10.0.0.1", &[("forwarded", chain)]),
            Some(expected("https", "books.example:8443"))
        );
        for (proto, host) in
            [("https", "books.example"), ("http,https, http", "evil.example,books.example, inner")]
        {
            let lines = [
                ("x-forwarded-for", "192.0.2.7, 10.1.1.1"),
                ("x-forwarded-proto", proto),
                ("x-forwarded-host", host),
            ];
            let found = forwarded("10.0.0.1", &lines);
            assert_eq!(found, Some(expected("https", "books.example")), "{proto}");
        }
        let lines = [("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a@b")];
        assert_eq!(forwarded("10.0.0.1", &lines), None);
    }

    #[test]
    fn ignores_headers_that_no_trusted_proxy_wrote() {
        let lines = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")];
        assert_eq!(forwarded("203.0.113.1", &lines), None);
        assert!(forwarded("::ffff:10.0.0.1", &lines).is_some());
        // The proxy writes one of them, and the client has sent the other.
        let lines =
            [("forwarded", "for=198.51.100.1;host=evil.example"), ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(forwarded("10.0.0.1", &lines), None);
        let lines = [("forwarded", "for=192.0.2.7;proto=https"), ("x-forwarded-for", "192.0.2.7")];
        assert!(forwarded("10.0.0.1", &lines).is_some());
        let headers = HeaderMap::new();
        let proxies = TrustedProxies::default();
        assert_eq!(proxies.forwarded("127.0.0.1:1".parse().unwrap(), &headers), None);
    }
}
