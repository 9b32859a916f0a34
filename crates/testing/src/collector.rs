//! A real OpenTelemetry Collector with the repository's configuration, and what has arrived at it.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Db, PATIENCE, Service, repository};

/// A running collector; killed when dropped.
pub struct Collector {
    /// Where it takes OTLP by gRPC.
    pub grpc: String,
    /// Where it takes OTLP by HTTP.
    pub http: String,
    child: Child,
    log: Arc<Mutex<String>>,
    dir: TempDir,
}

/// How a collector is to run.
#[derive(Default)]
pub struct Options<'a> {
    /// The repository's layers on `config.yaml`, such as `grafana`.
    pub layers: &'a [&'a str],
    /// Variables that the configuration reads.
    pub variables: &'a [(&'a str, &'a str)],
    /// Configuration to merge with that of the repository.
    pub overlay: Option<&'a str>,
    /// The port for OTLP over HTTP, for one that comes back; the kernel chooses if there is none.
    pub http_port: Option<u16>,
    /// Where to scrape metrics.
    pub scrape: Option<&'a str>,
}

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
    /// The traces of the spans that it is linked to.
    pub links: Vec<String>,
    /// Its events, by name.
    pub events: Vec<(String, Attributes)>,
    /// Its begin, in nanoseconds since 1970.
    pub started: u64,
    /// Its end, in nanoseconds since 1970.
    pub ended: u64,
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

impl Collector {
    /// Starts a collector with `collector/config.yaml` alone.
    pub fn start() -> Self {
        Self::start_with(&Options::default())
    }

    /// Starts a collector and waits until it is ready.
    pub fn start_with(options: &Options) -> Self {
        let dir = TempDir::new().unwrap();
        let mut command = Command::new(program());
        command.args(configuration(options.layers));
        if let Some(overlay) = options.overlay {
            let path = dir.path().join("overlay.yaml");
            fs::write(&path, overlay).unwrap();
            command.arg("--config").arg(path);
        }
        let http = format!("127.0.0.1:{}", options.http_port.unwrap_or(0));
        command
            .env("COLLECTOR_OTLP_GRPC", "127.0.0.1:0")
            .env("COLLECTOR_OTLP_HTTP", http)
            .env("COLLECTOR_HEALTH", "127.0.0.1:0")
            .env("COLLECTOR_METRICS_PORT", "0")
            .env("COLLECTOR_VERBOSITY", "basic")
            .env("COLLECTOR_SCRAPE_INTERVAL", "1s")
            .env("COLOPHON_METRICS_TARGET", options.scrape.unwrap_or("127.0.0.1:1"))
            .env("COLLECTOR_FILE", dir.path().join("otlp.jsonl"))
            .env("COLLECTOR_SCRAPED_FILE", dir.path().join("scraped.jsonl"))
            .env("COLLECTOR_STORAGE", dir.path().join("storage"))
            .env("COLLECTOR_PROMETHEUS", "127.0.0.1:0")
            .env("COLLECTOR_FLUSH_INTERVAL", "1s")
            .env("COLLECTOR_DECISION_WAIT", "2s")
            .env("COLLECTOR_DECISION_WAIT_AFTER_ROOT", "1s")
            .envs(options.variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::<Mutex<String>>::default();
        let (sink, lines) = (log.clone(), BufReader::new(child.stderr.take().unwrap()).lines());
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = sink.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut collector = Self { grpc: String::new(), http: String::new(), child, log, dir };
        collector.wait("the collector is ready", |c| c.log().contains("Everything is ready"));
        collector.grpc = format!("http://{}", collector.address("Starting GRPC server"));
        collector.http = format!("http://{}", collector.address("Starting HTTP server"));
        collector
    }

    /// What the collector logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// What the collector complains about.
    fn troubles(&self) -> String {
        let log = self.log();
        // Most collectors of the tests have nothing to scrape.
        let is_usual = |line: &str| line.contains("\tinfo\t") || line.contains("Failed to scrape");
        log.lines().filter(|line| !is_usual(line)).collect::<Vec<_>>().join("\n")
    }

    fn address(&self, line: &str) -> String {
        let log = self.log();
        let line = log.lines().find(|l| l.contains(line)).unwrap_or_else(|| panic!("{log}"));
        let (_, rest) = line.split_once("\"endpoint\": \"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// The port of OTLP over HTTP.
    pub fn http_port(&self) -> u16 {
        self.http.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Sends a signal, such as `-STOP`.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Has the collector end by itself.
    pub fn end(mut self) {
        self.signal("-TERM");
        self.child.wait().unwrap();
    }

    /// Waits until `is_so`, looking again and again.
    pub fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        self.wait_for(what, PATIENCE, |collector| is_so(collector).then_some(()));
    }

    /// Waits for `limit` at most until `find` finds something.
    pub fn wait_for<T>(&self, what: &str, limit: Duration, find: impl Fn(&Self) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = find(self) {
                return found;
            }
            assert!(started.elapsed() < limit, "{what}: not within {limit:?}\n{}", self.troubles());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything that arrived by OTLP, as it was written down.
    pub fn raw(&self) -> String {
        fs::read_to_string(self.dir.path().join("otlp.jsonl")).unwrap_or_default()
    }

    /// Everything that was scraped.
    pub fn raw_scraped(&self) -> String {
        fs::read_to_string(self.dir.path().join("scraped.jsonl")).unwrap_or_default()
    }

    /// All spans.
    pub fn spans(&self) -> Vec<Span> {
        items(&self.raw(), "resourceSpans", "scopeSpans", "spans")
            .map(|(_, span)| Span::read(&span))
            .collect()
    }

    /// The spans of a trace, once its root has arrived and has been all for a while: spans come in
    /// batches, children before parents.
    pub fn trace(&self, trace: &str) -> Vec<Span> {
        let arrived = |collector: &Self| -> Vec<Span> {
            collector.spans().into_iter().filter(|span| span.trace == trace).collect()
        };
        let started = Instant::now();
        self.wait_for(&format!("trace {trace}"), PATIENCE * 2, |collector| {
            let spans = arrived(collector);
            assert!(started.elapsed() < PATIENCE, "trace {trace} is broken:\n{}", tree(&spans));
            let is_there = |id: &str| spans.iter().any(|span| span.id == id);
            let roots = spans.iter().filter(|span| span.kind == 2).count();
            let is_whole = spans.iter().all(|span| span.kind == 2 || is_there(&span.parent));
            (roots == 1 && is_whole).then_some(spans)
        })
    }

    /// All log records.
    pub fn records(&self) -> Vec<Record> {
        items(&self.raw(), "resourceLogs", "scopeLogs", "logRecords")
            .map(|(scope, record)| Record::read(&scope, &record))
            .collect()
    }

    /// The metrics that came by OTLP.
    pub fn metrics(&self) -> Metrics {
        metrics(&self.raw())
    }

    /// The metrics that came by scrape.
    pub fn scraped(&self) -> Metrics {
        metrics(&self.raw_scraped())
    }

    /// The resources of everything that came by OTLP, each once.
    pub fn resources(&self) -> Vec<Attributes> {
        let mut resources = Vec::new();
        for line in parse(&self.raw()) {
            for key in ["resourceSpans", "resourceLogs", "resourceMetrics"] {
                for entry in list(&line[key]) {
                    let resource = attributes(&entry["resource"]["attributes"]);
                    if !resources.contains(&resource) {
                        resources.push(resource);
                    }
                }
            }
        }
        resources
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The arguments for the repository's configuration with these layers.
pub fn configuration(layers: &[&str]) -> Vec<String> {
    let files = ["config"].iter().chain(layers);
    let path = |name| repository().join(format!("collector/{name}.yaml")).display().to_string();
    files.flat_map(|name| ["--config".to_owned(), path(name)]).collect()
}

/// A port that was free a moment ago, for what cannot tell which one the kernel chose.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The program, as `scripts/collector` finds or builds it.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("COLOPHON_TEST_COLLECTOR") {
        return path.into();
    }
    let built = repository().join("target/collector/otelcol-colophon");
    assert!(built.exists(), "there is no collector: run `make collector` or `make test`");
    built
}

/// What a service needs to tell everything to a collector at `endpoint` without delay.
pub fn prompt(endpoint: &str) -> Vec<(&str, &str)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "50"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "300"),
    ]
}

/// A service that tells a collector everything without delay.
pub async fn observed(db: &Db, collector: &Collector) -> Service {
    db.serve_in(&prompt(&collector.http)).await
}

fn parse(lines: &str) -> impl Iterator<Item = Value> + '_ {
    // The last line may be half written.
    lines.lines().filter_map(|line| serde_json::from_str(line).ok())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn items(
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

fn attributes(list_of: &Value) -> Attributes {
    let pair = |attribute: &Value| {
        let value = attribute["value"].as_object().and_then(|value| value.values().next());
        (text(&attribute["key"]), value.map(text).unwrap_or_default())
    };
    list(list_of).map(pair).collect()
}

impl Span {
    fn read(span: &Value) -> Self {
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

impl Record {
    fn read(scope: &Value, record: &Value) -> Self {
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

fn metrics(lines: &str) -> Metrics {
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
