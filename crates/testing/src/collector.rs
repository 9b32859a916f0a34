//! A real OpenTelemetry Collector with the repository's configuration, and what has arrived at it.

mod exported;
mod options;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub use exported::{Attributes, Metrics, Point, Record, Span, tree};
pub use options::{Options, configuration, free_port, observed, program, prompt};

use crate::PATIENCE;
use exported::{attributes, items, list, metrics, parse};

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
