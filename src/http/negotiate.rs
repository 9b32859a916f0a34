//! Content negotiation of GraphQL over HTTP.

use axum::http::{HeaderMap, HeaderValue, header};

/// The media types of a GraphQL answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/graphql-response+json`: the status says whether the request was good.
    GraphqlResponse,
    /// `application/json`: for older clients, a good request with a bad document answers 200.
    Json,
}

impl MediaType {
    /// The `Content-Type` of a response.
    #[must_use]
    pub const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        })
    }

    /// The best type that `Accept` allows; without the header, or where it allows both alike,
    /// the older one. `None` if it allows neither.
    #[must_use]
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let ranges = ranges(headers);
        if ranges.is_empty() {
            return Some(Self::Json);
        }
        let json = quality(&ranges, "application", "json");
        let graphql = quality(&ranges, "application", "graphql-response+json");
        match (graphql, json) {
            (0, 0) => None,
            // Named as often as the older type, it is what the client prefers to have.
            _ if graphql > json => Some(Self::GraphqlResponse),
            _ if graphql == json && named(&ranges, "graphql-response+json") => {
                Some(Self::GraphqlResponse)
            }
            _ => Some(Self::Json),
        }
    }
}

/// Whether `Accept` names `text/event-stream`: who only takes anything means a response at once.
#[must_use]
pub fn accepts_events(headers: &HeaderMap) -> bool {
    ranges(headers)
        .iter()
        .any(|range| range.covers("text", "event-stream") == Some(2) && range.quality > 0)
}

fn ranges(headers: &HeaderMap) -> Vec<Range<'_>> {
    let values = headers.get_all(header::ACCEPT).iter();
    values
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .filter_map(Range::parse)
        .collect()
}

/// Whether the `Content-Type` is JSON in UTF-8.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    media_type.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
                value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

/// A media range of an `Accept` header (RFC 9110, 12.5.1).
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts
            .find_map(|parameter| parameter.strip_prefix(['q', 'Q'])?.strip_prefix('='))
            .map_or(Some(1.0), |q| q.parse::<f32>().ok())?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=1000"
        )]
        let quality = (quality.clamp(0.0, 1.0) * 1000.0) as u16;
        Some(Self { kind, subtype, quality })
    }

    /// How exactly the range names the type, if it covers it at all.
    fn covers(&self, kind: &str, subtype: &str) -> Option<u8> {
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (k, "*") if k.eq_ignore_ascii_case(kind) => Some(1),
            (k, s) if k.eq_ignore_ascii_case(kind) && s.eq_ignore_ascii_case(subtype) => Some(2),
            _ => None,
        }
    }
}

/// The quality of a type: that of the range which names it most exactly.
fn quality(ranges: &[Range<'_>], kind: &str, subtype: &str) -> u16 {
    let covering = ranges.iter().filter_map(|r| Some((r.covers(kind, subtype)?, r.quality)));
    covering.max().map_or(0, |(_, quality)| quality)
}

fn named(ranges: &[Range<'_>], subtype: &str) -> bool {
    ranges.iter().any(|range| range.subtype.eq_ignore_ascii_case(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Option<MediaType> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        MediaType::accepted(&headers)
    }

    #[test]
    fn prefers_the_type_of_highest_quality() {
        use MediaType::{GraphqlResponse, Json};
        assert_eq!(MediaType::accepted(&HeaderMap::new()), Some(Json));
        for (accept, expected) in [
            ("*/*", Some(Json)),
            ("application/*", Some(Json)),
            ("application/json", Some(Json)),
            ("application/graphql-response+json", Some(GraphqlResponse)),
            ("application/graphql-response+json, application/json", Some(GraphqlResponse)),
            ("application/json, application/graphql-response+json;q=0.9", Some(Json)),
            ("application/json;q=0, */*", Some(GraphqlResponse)),
            ("Application/JSON;charset=utf-8", Some(Json)),
            ("text/html", None),
            ("*/*;q=0", None),
        ] {
            assert_eq!(accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn accepts_json_in_utf_8_only() {
        let is = |content_type: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            is_json(&headers)
        };
        assert!(is("application/json") && is("application/json; charset=\"UTF-8\""));
        assert!(!is("text/plain") && !is("application/json; charset=latin1"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
