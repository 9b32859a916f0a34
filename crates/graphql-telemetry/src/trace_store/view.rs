//! A stored trace, decoded for a person or a script.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use humantime::format_rfc3339_micros;
use opentelemetry::{SpanId, TraceId};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::{LogRecord, ScopeLogs},
    trace::v1::{ScopeSpans, Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

pub use super::findings::{Finding, FindingKind};
use super::{
    findings::findings,
    retention::{Group, Stored},
};

/// A trace. Times are in seconds, offsets from its start.
#[derive(Clone, Debug, Serialize)]
pub struct TraceView {
    /// Its id.
    #[serde(serialize_with = "text")]
    pub trace_id: TraceId,
    /// When the first of its spans began.
    #[serde(serialize_with = "time")]
    pub start: SystemTime,
    /// From then to the end of the last one.
    pub duration: f64,
    kept: Group,
    /// Where else it can be looked at.
    pub backend_url: Option<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Its spans, each before those below it.
    pub spans: Vec<SpanView>,
    /// Its log records, in the order of their times.
    pub logs: Vec<LogView>,
}

/// A span.
#[derive(Clone, Debug, Serialize)]
pub struct SpanView {
    /// Its id.
    #[serde(serialize_with = "text")]
    pub span_id: SpanId,
    /// The span above it, which may be another process's.
    #[serde(serialize_with = "some_text")]
    pub parent_span_id: Option<SpanId>,
    /// Its name.
    pub name: String,
    /// `server`, `client`, `internal`, `producer` or `consumer`.
    pub kind: &'static str,
    /// When it began.
    pub offset: f64,
    /// How long it took.
    pub duration: f64,
    /// Whether its status is ERROR.
    pub error: bool,
    /// What the status says of it.
    pub message: String,
    /// Its attributes.
    pub attributes: Map<String, Value>,
    /// Its events, such as an exception.
    pub events: Vec<EventView>,
    /// The spans that it has links to.
    pub links: Vec<LinkView>,
}

/// An event of a span.
#[derive(Clone, Debug, Serialize)]
pub struct EventView {
    /// Its name.
    pub name: String,
    /// When it was.
    pub offset: f64,
    /// Its attributes.
    pub attributes: Map<String, Value>,
}

/// A link of a span to another one.
#[derive(Clone, Debug, Serialize)]
pub struct LinkView {
    /// The other one's trace.
    #[serde(serialize_with = "text")]
    pub trace_id: TraceId,
    /// The other one.
    #[serde(serialize_with = "text")]
    pub span_id: SpanId,
}

/// A log record.
#[derive(Clone, Debug, Serialize)]
pub struct LogView {
    /// When it was.
    pub offset: f64,
    /// Its level, such as `WARN`.
    pub severity: String,
    /// The span that it belongs to.
    #[serde(serialize_with = "text")]
    pub span_id: SpanId,
    /// The name of the event.
    pub name: String,
    /// Its message.
    pub message: String,
    /// Its attributes.
    pub attributes: Map<String, Value>,
}

impl TraceView {
    pub(super) fn new(trace_id: TraceId, stored: &Stored, backend_url: Option<String>) -> Self {
        // What is decoded was encoded here.
        let spans = ScopeSpans::decode(&*stored.trace.spans).unwrap_or_default().spans;
        let logs = ScopeLogs::decode(&*stored.trace.logs).unwrap_or_default().log_records;
        let start = spans.iter().map(|span| span.start_time_unix_nano).min().unwrap_or_default();
        let end = spans.iter().map(|span| span.end_time_unix_nano).max().unwrap_or_default();
        let spans = in_tree_order(spans.into_iter().map(|span| SpanView::new(span, start)));
        let mut logs: Vec<_> = logs.into_iter().map(|log| LogView::new(log, start)).collect();
        logs.sort_by(|a, b| a.offset.total_cmp(&b.offset));
        Self {
            trace_id,
            start: UNIX_EPOCH + Duration::from_nanos(start),
            duration: offset(end, start),
            kept: stored.reason,
            backend_url,
            findings: findings(&spans, &logs),
            spans,
            logs,
        }
    }

    /// Returns the part of it that is at or below a span; none if it has no such span.
    pub(super) fn below(mut self, root: SpanId) -> Option<Self> {
        let mut below = HashSet::new();
        for span in &self.spans {
            // A parent is before its children.
            if span.span_id == root || span.parent_span_id.is_some_and(|it| below.contains(&it)) {
                below.insert(span.span_id);
            }
        }
        self.spans.retain(|span| below.contains(&span.span_id));
        self.logs.retain(|log| below.contains(&log.span_id));
        let first = self.spans.first()?.offset;
        let ends = self.spans.iter().map(|span| span.offset + span.duration);
        let last = ends.fold(first, f64::max);
        self.start += Duration::from_secs_f64(first);
        self.duration = last - first;
        self.spans.iter_mut().for_each(|span| span.shift(first));
        self.logs.iter_mut().for_each(|log| log.offset -= first);
        self.findings = findings(&self.spans, &self.logs);
        Some(self)
    }
}

impl SpanView {
    fn new(span: Span, start: u64) -> Self {
        let (error, message) = span.status.map_or((false, String::new()), |status| {
            (status.code == StatusCode::Error as i32, status.message)
        });
        let kind = match SpanKind::try_from(span.kind) {
            Ok(SpanKind::Server) => "server",
            Ok(SpanKind::Client) => "client",
            Ok(SpanKind::Producer) => "producer",
            Ok(SpanKind::Consumer) => "consumer",
            _ => "internal",
        };
        let event = |event: opentelemetry_proto::tonic::trace::v1::span::Event| EventView {
            name: event.name,
            offset: offset(event.time_unix_nano, start),
            attributes: attributes(event.attributes),
        };
        let link = |link: opentelemetry_proto::tonic::trace::v1::span::Link| LinkView {
            trace_id: trace_id(&link.trace_id),
            span_id: span_id(&link.span_id),
        };
        Self {
            span_id: span_id(&span.span_id),
            parent_span_id: (!span.parent_span_id.is_empty())
                .then(|| span_id(&span.parent_span_id)),
            name: span.name,
            kind,
            offset: offset(span.start_time_unix_nano, start),
            duration: offset(span.end_time_unix_nano, span.start_time_unix_nano),
            error,
            message,
            attributes: attributes(span.attributes),
            events: span.events.into_iter().map(event).collect(),
            links: span.links.into_iter().map(link).collect(),
        }
    }

    fn shift(&mut self, by: f64) {
        self.offset -= by;
        self.events.iter_mut().for_each(|event| event.offset -= by);
    }
}

impl LogView {
    fn new(log: LogRecord, start: u64) -> Self {
        let message = match log.body.and_then(|body| body.value) {
            Some(any_value::Value::StringValue(text)) => text,
            _ => String::new(),
        };
        Self {
            offset: offset(log.observed_time_unix_nano, start),
            severity: log.severity_text,
            span_id: span_id(&log.span_id),
            name: log.event_name,
            message,
            attributes: attributes(log.attributes),
        }
    }
}

/// Each span before those below it, and these in the order of their start.
fn in_tree_order(spans: impl Iterator<Item = SpanView>) -> Vec<SpanView> {
    let mut spans: Vec<_> = spans.collect();
    spans.sort_by(|a, b| b.offset.total_cmp(&a.offset));
    let known: HashSet<_> = spans.iter().map(|span| span.span_id).collect();
    let mut children: HashMap<Option<SpanId>, Vec<SpanView>> = HashMap::new();
    for span in spans {
        let parent = span.parent_span_id.filter(|it| known.contains(it) && *it != span.span_id);
        children.entry(parent).or_default().push(span);
    }
    // The last of the stack comes next.
    let mut stack = children.remove(&None).unwrap_or_default();
    let mut ordered = Vec::new();
    while let Some(span) = stack.pop() {
        stack.extend(children.remove(&Some(span.span_id)).unwrap_or_default());
        ordered.push(span);
    }
    ordered
}

#[expect(clippy::cast_precision_loss, reason = "to the nanosecond for days")]
fn offset(time: u64, start: u64) -> f64 {
    if time >= start { (time - start) as f64 / 1e9 } else { -((start - time) as f64 / 1e9) }
}

fn trace_id(bytes: &[u8]) -> TraceId {
    bytes.try_into().map_or(TraceId::INVALID, TraceId::from_bytes)
}

fn span_id(bytes: &[u8]) -> SpanId {
    bytes.try_into().map_or(SpanId::INVALID, SpanId::from_bytes)
}

fn attributes(all: Vec<KeyValue>) -> Map<String, Value> {
    all.into_iter().map(|it| (it.key, it.value.map_or(Value::Null, value))).collect()
}

fn value(value: AnyValue) -> Value {
    match value.value {
        Some(any_value::Value::StringValue(text)) => text.into(),
        Some(any_value::Value::BoolValue(value)) => value.into(),
        Some(any_value::Value::IntValue(value)) => value.into(),
        Some(any_value::Value::DoubleValue(value)) => json!(value),
        Some(any_value::Value::ArrayValue(array)) => {
            array.values.into_iter().map(self::value).collect()
        }
        _ => Value::Null,
    }
}

/// Serializes an id.
pub(super) fn text<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

#[expect(clippy::ref_option, reason = "as serde calls it")]
fn some_text<S: Serializer>(value: &Option<SpanId>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

/// Serializes a time by RFC 3339.
pub(super) fn time<S: Serializer>(value: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_rfc3339_micros(*value))
}

/// Serializes a duration in seconds.
pub(super) fn seconds<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(value.as_secs_f64())
}
