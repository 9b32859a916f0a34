//! The span, the metrics and the access line of a request.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Instant,
};

use axum::{
    body::HttpBody,
    extract::{ConnectInfo, MatchedPath},
    http::{
        self, Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header,
        uri::Authority,
    },
};
use metrics::{Gauge, Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt},
};
use opentelemetry_semantic_conventions::attribute as attr;
use tracing::{Level, event};
use url::form_urlencoded;

use super::{Failure, Forwarded, Peer, TRACERESPONSE};
use crate::{
    catalog::{HTTP_ACTIVE, HTTP_DURATION, HTTP_REQUEST_SIZE, HTTP_RESPONSE_SIZE, Metric},
    handle_cache::HandleCache,
    text::{client_text, intern},
    trace_context::{self, TRACEPARENT, TRACESTATE},
    traces,
};

/// A request in progress. If it is dropped before its response, the client has gone away.
pub(super) struct RequestSpan {
    /// With its span.
    context: Context,
    method: &'static str,
    /// `http` or, by a trusted proxy, `https`.
    scheme: &'static str,
    path: Cow<'static, str>,
    route: Option<&'static str>,
    version: &'static str,
    started: Instant,
    request_size: Option<u64>,
    is_answered: bool,
    _active: Active,
}

impl RequestSpan {
    /// Starts the span of a request, and its clock.
    pub fn start<B: HttpBody>(request: &http::Request<B>) -> Self {
        let method = method(request.method());
        let route = request.extensions().get::<MatchedPath>().map(|path| intern(path.as_str()));
        let path = request.uri().path();
        let forwarded = request.extensions().get::<Forwarded>();
        let scheme = forwarded.and_then(|forwarded| forwarded.scheme).unwrap_or("http");
        let mut this = Self {
            context: Context::new(),
            method,
            scheme,
            path: match route {
                Some(route) if route == path => route.into(),
                _ => client_text(path).to_owned().into(),
            },
            route,
            version: version(request.version()),
            started: Instant::now(),
            request_size: request
                .body()
                .size_hint()
                .exact()
                .or_else(|| announced(request.headers())),
            is_answered: false,
            _active: Active::new(method, scheme),
        };
        this.context = this.start_span(request);
        this
    }

    /// Returns the context with the span.
    pub const fn context(&self) -> &Context {
        &self.context
    }

    fn start_span<B>(&self, request: &http::Request<B>) -> Context {
        if !traces::enabled() {
            return Context::new();
        }
        let parent = if traces::propagates() { parent(request.headers()) } else { Context::new() };
        let name = span_name(self.method, self.route);
        let span = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        traces::start_span(span, &parent, || self.attributes(request))
    }

    fn attributes<B>(&self, request: &http::Request<B>) -> Vec<KeyValue> {
        let headers = request.headers();
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let text = |key, text: &str| KeyValue::new(key, client_text(text).to_owned());
        let forwarded = request.extensions().get::<Forwarded>();
        let mut all = Vec::with_capacity(12);
        all.extend([
            KeyValue::new(attr::HTTP_REQUEST_METHOD, self.method),
            match &self.path {
                Cow::Borrowed(path) => KeyValue::new(attr::URL_PATH, *path),
                Cow::Owned(path) => KeyValue::new(attr::URL_PATH, path.clone()),
            },
            KeyValue::new(attr::URL_SCHEME, self.scheme),
            KeyValue::new(attr::NETWORK_PROTOCOL_VERSION, self.version),
        ]);
        all.extend(self.route.map(|route| KeyValue::new(attr::HTTP_ROUTE, route)));
        all.extend(header(header::USER_AGENT).map(|agent| text(attr::USER_AGENT_ORIGINAL, agent)));
        all.extend(
            redacted_query(request.uri()).map(|query| KeyValue::new(attr::URL_QUERY, query)),
        );
        let host = forwarded.and_then(|forwarded| forwarded.host.as_ref()).map(Authority::as_str);
        let host = host.or_else(|| header(header::HOST));
        if let Some((host, port)) = host.and_then(|host| server(host, self.scheme)) {
            all.push(text(attr::SERVER_ADDRESS, host));
            all.push(KeyValue::new(attr::SERVER_PORT, i64::from(port)));
        }
        if let Some(Peer { address, port }) = peer(request.extensions()) {
            let client = forwarded.and_then(|forwarded| forwarded.client);
            all.extend([
                match client {
                    Some(client) => KeyValue::new(attr::CLIENT_ADDRESS, client.to_string()),
                    None => KeyValue::new(attr::CLIENT_ADDRESS, address.clone()),
                },
                KeyValue::new(attr::NETWORK_PEER_ADDRESS, address.clone()),
                KeyValue::new(attr::NETWORK_PEER_PORT, i64::from(port)),
            ]);
        }
        all
    }

    /// Records the response.
    pub fn on_response<B: HttpBody>(mut self, response: &mut http::Response<B>) {
        self.is_answered = true;
        let status = response.status();
        let span = self.context.span();
        let code = i64::from(status.as_u16());
        span.set_attribute(KeyValue::new(attr::HTTP_RESPONSE_STATUS_CODE, code));
        let error = server_error(response);
        if let Some(error) = error {
            span.set_attribute(KeyValue::new(attr::ERROR_TYPE, error));
            span.set_status(Status::error(""));
        }
        if let Some(value) = traceresponse(span.span_context()) {
            response.headers_mut().insert(TRACERESPONSE, value);
        }
        self.measure(Some(status), error, response.body().size_hint().exact());
        self.log(Some(status), "answered");
    }

    fn log(&self, status: Option<StatusCode>, message: &str) {
        // As a field and not as a format, which would be written anew for each reader of the event.
        event!(name: "http.access", target: "graphql_telemetry::http", Level::INFO, {
            http.request.method = self.method,
            url.path = &*self.path,
            http.response.status_code = status.map(|status| status.as_u16()),
            http.request.duration = self.started.elapsed().as_secs_f64(),
            message
        });
    }

    fn measure(
        &self,
        status: Option<StatusCode>,
        error: Option<&'static str>,
        response_size: Option<u64>,
    ) {
        let series = series().get(SeriesKey {
            method: self.method,
            scheme: self.scheme,
            route: self.route,
            status: status.map(|status| status.as_u16()),
            error,
            version: self.version,
        });
        series.duration.record(self.started.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
        let record = |histogram: &Histogram, size: Option<u64>| {
            if let Some(size) = size {
                histogram.record(size as f64);
            }
        };
        record(&series.request_size, self.request_size);
        record(&series.response_size, response_size);
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        const CANCELLED: &str = "cancelled";
        let span = self.context.span();
        if !self.is_answered {
            let _attached = self.context.clone().attach();
            span.set_attribute(KeyValue::new(attr::ERROR_TYPE, CANCELLED));
            self.measure(None, Some(CANCELLED), None);
            self.log(None, "the client went away");
        }
        span.end();
    }
}

/// Only what is the service's fault is an error of the server.
fn server_error<B>(response: &http::Response<B>) -> Option<&'static str> {
    if !response.status().is_server_error() {
        return None;
    }
    let failure = response.extensions().get::<Failure>();
    Some(failure.map_or_else(|| intern(response.status().as_str()), |Failure(code)| code.name))
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct SeriesKey {
    method: &'static str,
    scheme: &'static str,
    route: Option<&'static str>,
    status: Option<u16>,
    error: Option<&'static str>,
    version: &'static str,
}

#[derive(Clone)]
struct RequestSeries {
    duration: Histogram,
    request_size: Histogram,
    response_size: Histogram,
}

fn series() -> &'static HandleCache<SeriesKey, Arc<RequestSeries>> {
    static SERIES: LazyLock<HandleCache<SeriesKey, Arc<RequestSeries>>> = LazyLock::new(|| {
        HandleCache::new(|key: &SeriesKey| {
            let of = |metric: &Metric| metric.histogram(key.labels());
            Arc::new(RequestSeries {
                duration: of(&HTTP_DURATION),
                request_size: of(&HTTP_REQUEST_SIZE),
                response_size: of(&HTTP_RESPONSE_SIZE),
            })
        })
    });
    &SERIES
}

impl SeriesKey {
    fn labels(&self) -> Vec<Label> {
        let mut labels = vec![
            Label::new(attr::HTTP_REQUEST_METHOD, self.method),
            Label::new(attr::URL_SCHEME, self.scheme),
            Label::new(attr::NETWORK_PROTOCOL_VERSION, self.version),
        ];
        labels.extend(self.route.map(|route| Label::new(attr::HTTP_ROUTE, route)));
        labels.extend(self.error.map(|error| Label::new(attr::ERROR_TYPE, error)));
        let status = self.status.map(|status| status.to_string());
        labels.extend(status.map(|status| Label::new(attr::HTTP_RESPONSE_STATUS_CODE, status)));
        labels
    }
}

/// A request among those in progress.
struct Active(Gauge);

impl Active {
    fn new(method: &'static str, scheme: &'static str) -> Self {
        static ACTIVE: LazyLock<HandleCache<(&'static str, &'static str), Gauge>> =
            LazyLock::new(|| {
                HandleCache::new(|(method, scheme)| {
                    HTTP_ACTIVE.gauge(vec![
                        Label::new(attr::HTTP_REQUEST_METHOD, *method),
                        Label::new(attr::URL_SCHEME, *scheme),
                    ])
                })
            });
        let gauge = ACTIVE.get((method, scheme));
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// The other end of the connection, by whichever accept loop.
fn peer(extensions: &Extensions) -> Option<Peer> {
    let by_axum = || Some(Peer::from(extensions.get::<ConnectInfo<SocketAddr>>()?.0));
    extensions.get::<Peer>().cloned().or_else(by_axum)
}

/// What stands for methods that nobody has heard of.
const OTHER_METHOD: &str = "_OTHER";

fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => OTHER_METHOD,
    }
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Name and port of the server, as the client has them.
fn server<'a>(host: &'a str, scheme: &str) -> Option<(&'a str, u16)> {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => Some((name, port.parse().ok()?)),
        _ => Some((host, if scheme == "https" { 443 } else { 80 })),
    }
}

/// The names of the parameters without their values, which hold documents and variables.
fn redacted_query(uri: &Uri) -> Option<String> {
    const KNOWN: [&str; 4] = ["query", "operationName", "variables", "extensions"];
    let query = uri.query()?;
    let names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| {
        // A name that we do not know is the client's text as well.
        KNOWN.iter().find(|known| **known == name).map_or("REDACTED", |known| *known)
    });
    let names: Vec<_> = names.take(KNOWN.len()).map(|name| format!("{name}=REDACTED")).collect();
    Some(names.join("&"))
}

/// The context of the caller's span, if the request names a valid one. Baggage is not read.
fn parent(headers: &HeaderMap) -> Context {
    let values = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    trace_context::extract(values(TRACEPARENT), values(TRACESTATE))
}

/// The value of [`TRACERESPONSE`].
fn traceresponse(span: &SpanContext) -> Option<HeaderValue> {
    if !span.is_valid() {
        return None;
    }
    let mut value = [b'-'; 55];
    let mut write = |bytes: &[u8], to| const_hex::encode_to_slice(bytes, &mut value[to]).ok();
    write(&[0], 0..2)?;
    write(&span.trace_id().to_bytes(), 3..35)?;
    write(&span.span_id().to_bytes(), 36..52)?;
    write(&[span.trace_flags().to_u8()], 53..55)?;
    HeaderValue::from_bytes(&value).ok()
}

/// "POST /graphql".
fn span_name(method: &'static str, route: Option<&'static str>) -> &'static str {
    type Key = (&'static str, Option<&'static str>);
    static NAMES: LazyLock<HandleCache<Key, &'static str>> = LazyLock::new(|| {
        HandleCache::new(|(method, route): &Key| {
            // "_OTHER" is for attributes; in a name the convention has it so.
            let method = if *method == OTHER_METHOD { "HTTP" } else { *method };
            route.map_or(method, |route| intern(&format!("{method} {route}")))
        })
    });
    NAMES.get((method, route))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redacts_the_values_of_a_query() {
        let uri: Uri = "/graphql?query={secret}&variables={}&s3cret=1".parse().unwrap();
        let redacted = redacted_query(&uri).unwrap();
        assert_eq!(redacted, "query=REDACTED&variables=REDACTED&REDACTED=REDACTED");
    }

    #[test]
    fn the_server_is_what_the_client_calls_it() {
        assert_eq!(server("localhost:8000", "http"), Some(("localhost", 8000)));
        assert_eq!(server("books.example", "https"), Some(("books.example", 443)));
        assert_eq!(server("[::1]:80", "http"), Some(("[::1]", 80)));
        assert_eq!(server("[::1]", "http"), Some(("[::1]", 80)));
    }

    #[test]
    fn unknown_methods_share_a_series() {
        assert_eq!(method(&Method::from_bytes(b"BREW").unwrap()), OTHER_METHOD);
    }
}
