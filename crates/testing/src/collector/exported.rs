//! What a collector wrote down of the telemetry that arrived: OTLP in JSON, a request on each line.

use std::collections::BTreeMap;

use serde_json::Value;

/// Attributes as text: the tests compare, and do not calculate.
pub type Attributes = BTreeMap<String, String>;

/// A span as it arrived.
#[derive(Clone, Debug)]
pub struct Span {
    /// What was done.
    pub name: String,
    /// The id of its trace, as all ids in hexadecimal digits.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The id of the span that it is part of; empty for a root.
    pub parent: String,
    /// As OTLP has it: 1 internal, 2 server, 3 client.
    pub kind: u64,
    /// 0 unset, 1 ok, 2 error.
    pub status: u64,
    /// What it is described with.
    pub attributes: Attributes,
    /// The ids of the spans that it is linked to.
    pub links: Vec<String>,
    /// Its events, by name.
    pub events: Vec<(String, Attributes)>,
    /// Its begin, in nanoseconds since 1970.
    pub started: u64,
    /// Its end, in nanoseconds since 1970.
    pub ended: u64,
}

impl Span {
    pub(super) fn read(span: &Value) -> Self {
        let event = |event: &Value| (text(&event["name"]), attributes(&event["attributes"]));
        Self {
            name: text(&span["name"]),
            trace: text(&span["traceId"]),
            id: text(&span["spanId"]),
            parent: text(&span["parentSpanId"]),
            kind: number(&span["kind"]),
            status: number(&span["status"]["code"]),
            attributes: attributes(&span["attributes"]),
            links: list(&span["links"]).map(|link| text(&link["spanId"])).collect(),
            events: list(&span["events"]).map(event).collect(),
            started: number(&span["startTimeUnixNano"]),
            ended: number(&span["endTimeUnixNano"]),
        }
    }

    /// An attribute that must be there.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("{name} is missing in {self:#?}"))
    }
}

/// A log record as it arrived.
#[derive(Clone, Debug)]
pub struct Record {
    /// The name of the event.
    pub event: String,
    /// The message.
    pub body: String,
    /// The module that it comes from.
    pub scope: String,
    /// The trace that it belongs to; empty for none.
    pub trace: String,
    /// The span that it belongs to; empty for none.
    pub span: String,
    /// The fields of the event.
    pub attributes: Attributes,
}

impl Record {
    pub(super) fn read(scope: &Value, record: &Value) -> Self {
        Self {
            event: text(&record["eventName"]),
            body: text(&record["body"]["stringValue"]),
            scope: text(&scope["name"]),
            trace: text(&record["traceId"]),
            span: text(&record["spanId"]),
            attributes: attributes(&record["attributes"]),
        }
    }
}

/// The latest value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    /// A counter, whose sum only grows.
    Counter(f64),
    /// A sum that may fall.
    UpDown(f64),
    /// A value that is not added up.
    Gauge(f64),
    /// Count, sum and the counts of all buckets with their bounds.
    Histogram {
        /// How many values there were.
        count: u64,
        /// The sum of the values.
        sum: f64,
        /// The upper bounds of all buckets but the last.
        bounds: Vec<f64>,
        /// How many values fell into each bucket.
        buckets: Vec<u64>,
    },
}

/// Series by name and attributes.
pub type Metrics = BTreeMap<(String, Attributes), Point>;

pub(super) fn metrics(lines: &str) -> Metrics {
    let mut all = Metrics::new();
    for (_, metric) in items(lines, "resourceMetrics", "scopeMetrics", "metrics") {
        let name = text(&metric["name"]);
        let is_monotonic = metric["sum"]["isMonotonic"].as_bool().unwrap_or(false);
        for (kind, point) in ["sum", "gauge", "histogram"]
            .iter()
            .flat_map(|kind| list(&metric[kind]["dataPoints"]).map(move |point| (*kind, point)))
        {
            let value = match kind {
                "histogram" => histogram(point),
                "gauge" => Point::Gauge(value(point)),
                _ if is_monotonic => Point::Counter(value(point)),
                _ => Point::UpDown(value(point)),
            };
            // Later lines replace earlier ones: all are totals.
            all.insert((name.clone(), attributes(&point["attributes"])), value);
        }
    }
    all
}

fn value(point: &Value) -> f64 {
    if point["asInt"].is_null() { number(&point["asDouble"]) } else { number(&point["asInt"]) }
}

fn histogram(point: &Value) -> Point {
    Point::Histogram {
        count: number(&point["count"]),
        sum: number(&point["sum"]),
        bounds: list(&point["explicitBounds"]).map(number).collect(),
        buckets: list(&point["bucketCounts"]).map(number).collect(),
    }
}

/// A line for each span, indented by its depth, in the order they began.
pub fn tree(spans: &[Span]) -> String {
    fn add(text: &mut String, spans: &[Span], span: &Span, depth: usize) {
        let kind = ["", "INTERNAL", "SERVER", "CLIENT"][usize::try_from(span.kind).unwrap()];
        text.push_str(&format!("{}{} {kind}\n", "  ".repeat(depth), span.name));
        let mut children: Vec<_> = spans.iter().filter(|child| child.parent == span.id).collect();
        children.sort_by_key(|child| child.started);
        for child in children {
            add(text, spans, child, depth + 1);
        }
    }
    let mut text = String::new();
    for root in spans.iter().filter(|span| !spans.iter().any(|other| other.id == span.parent)) {
        add(&mut text, spans, root, 0);
    }
    text
}

pub(super) fn parse(lines: &str) -> impl Iterator<Item = Value> + '_ {
    // The last line may be half written.
    lines.lines().filter_map(|line| serde_json::from_str(line).ok())
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn items(
    lines: &str,
    resources: &'static str,
    scopes: &'static str,
    items: &'static str,
) -> impl Iterator<Item = (Value, Value)> {
    let mut all = Vec::new();
    for line in parse(lines) {
        for scope in list(&line[resources]).flat_map(|resource| list(&resource[scopes])) {
            all.extend(list(&scope[items]).map(|item| (scope["scope"].clone(), item.clone())));
        }
    }
    all.into_iter()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(
        || if value.is_null() { String::new() } else { value.to_string() },
        str::to_owned,
    )
}

/// Numbers of 64 bits are strings in OTLP's JSON.
fn number<T: std::str::FromStr + Default>(value: &Value) -> T {
    text(value).parse().unwrap_or_default()
}

pub(super) fn attributes(list_of: &Value) -> Attributes {
    let pair = |attribute: &Value| {
        let value = attribute["value"].as_object().and_then(|value| value.values().next());
        (text(&attribute["key"]), value.map(text).unwrap_or_default())
    };
    list(list_of).map(pair).collect()
}
