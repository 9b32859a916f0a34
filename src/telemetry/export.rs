//! Where telemetry goes: to a collector by OTLP, to a scrape, to standard output.

pub mod lines;
pub mod logs;
pub mod metrics;
pub mod output;
pub mod scrape;
pub mod settings;
pub mod traces;
mod warnings;

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::SdkLoggerProvider,
    trace::{Sampler, SdkTracerProvider},
};
use opentelemetry_semantic_conventions::{SCHEMA_URL, attribute as attr};
use otlp_export::{
    BatchExporter, Counters, ExportRuntime, ExportStats, LogSender, MetricSender, OtlpError,
    OtlpLogLayer, Queue, QueueOptions, Sender, Signal, SpanQueue, SpanSender,
};
use runtime_insight::console::{ConsoleOptions, serve_console};
use tracing::{info, warn};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
};

use self::{
    lines::{Lines, LogFormat},
    logs::BoxedLayer,
    metrics::Counted,
    output::{Closing, Output},
    scrape::Scrape,
    settings::{ExportSettings, Exporter, IgnoredValue},
    warnings::Warnings,
};
use super::exception;

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A collector cannot be talked to as the settings have it.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    /// tokio-console cannot be let in.
    #[error("cannot let tokio-console in at {0}, which TOKIO_CONSOLE_BIND says: {1}")]
    Console(SocketAddr, std::io::Error),
    /// The exporters' thread cannot be started.
    #[error("cannot start the thread that exports telemetry: {0}")]
    Thread(#[from] std::io::Error),
    /// Logging cannot be started.
    #[error("cannot start logging: {0}")]
    Logs(String),
}

/// The process's telemetry. To be [`stop`](Telemetry::stop)ped last of all.
pub struct Telemetry {
    /// How to export what is left.
    closes: Vec<Close>,
    outcomes: Outcomes,
    runtime: ExportRuntime,
    scrape: Option<Scrape>,
    /// The work of the queues, until it is begun.
    exporters: Vec<BoxFuture<'static, ()>>,
    /// To be dropped last: it has the last log lines written.
    _output: Closing,
}

/// What is logged and traced of what goes through `tracing`.
#[derive(Clone, Debug)]
pub struct LogOptions<'a> {
    /// How log lines on standard output look. If it is none, standard output is for data, and warnings
    /// go to standard error.
    pub format: Option<LogFormat>,
    /// Which events are logged and exported.
    pub filter: &'a str,
    /// Which spans are exported.
    pub spans: &'a Targets,
}

/// Exports what is left of a signal, within a time.
type Close = Box<dyn FnOnce(Duration) -> OTelSdkResult + Send>;

/// What became of each signal; none for those that go nowhere.
#[derive(Default)]
struct Outcomes {
    spans: Arc<ExportStats>,
    records: Arc<ExportStats>,
    points: Arc<ExportStats>,
}

impl Telemetry {
    /// Starts everything: the recorder of metrics, the tracer, and logging.
    ///
    /// # Errors
    /// If the settings do not fit together, or the operating system refuses a thread.
    ///
    /// # Panics
    /// If it was started before.
    pub fn start(
        settings: &ExportSettings,
        options: &LogOptions<'_>,
        console: Option<&ConsoleOptions>,
    ) -> Result<Self, TelemetryError> {
        exception::install(settings.exceptions);
        let runtime = ExportRuntime::start()?;
        let output = Output::start(std::io::stdout())?;
        // Exporters look for the runtime where they are made.
        let handle = runtime.handle().clone();
        let entered = handle.enter();
        let warnings = Arc::<Warnings>::default();
        let mut this = Self {
            closes: Vec::new(),
            outcomes: Outcomes::default(),
            scrape: None,
            exporters: Vec::new(),
            runtime,
            _output: output.closing(),
        };
        let (mut tracer, mut records) = (None, None);
        if !settings.disabled {
            let resource = resource(settings);
            // First, since the others count what they do.
            this.start_metrics(settings, &resource, &warnings)?;
            let provider = this.start_spans(settings, &resource, &warnings)?;
            tracer = Some((traces::install(&provider), options.spans.clone()));
            this.closes.push(Box::new(move |limit| provider.shutdown_with_timeout(limit)));
            records = this.start_records(settings, &resource, &warnings)?;
        }
        let (address, console) = console.map(listen_for_console).transpose()?.unzip();
        let filter = &with_level(options.filter, settings.log_level);
        let (lines, lines_filter) = match options.format {
            Some(format) => (Lines::new(format, output).boxed(), filter.as_str()),
            None => (logs::warnings(), logs::WARNINGS),
        };
        let records = records.map(|records| (records, filter.as_str()));
        logs::init((lines, lines_filter), tracer, records, console)
            .map_err(TelemetryError::Logs)?;
        if let Some(address) = address {
            info!(
                name: "tokio_console.listening", %address,
                "`tokio-console http://{address}` shows the tasks"
            );
        }
        // Not before: tokio-console sees only the tasks that are spawned from now on.
        for work in this.exporters.drain(..) {
            runtime_insight::spawn("telemetry exporter", work);
        }
        drop(entered);
        warn_of_ignored(settings);
        announce(settings);
        Ok(this)
    }

    /// The metrics for scraping, if they can be.
    #[must_use]
    pub fn scrape(&self) -> Option<Scrape> {
        self.scrape.clone()
    }

    fn start_metrics(
        &mut self,
        settings: &ExportSettings,
        resource: &Resource,
        warnings: &Arc<Warnings>,
    ) -> Result<(), TelemetryError> {
        let interval = settings.metric_interval;
        let (outcome, warnings) = (self.outcomes.points.clone(), warnings.clone());
        let provider = match &settings.metrics {
            Exporter::None => None,
            Exporter::Console => {
                let exporter = opentelemetry_stdout::MetricExporter::default();
                let exporter = Counted::new(exporter, outcome, warnings);
                Some(metrics::provider(exporter, interval, resource.clone()))
            }
            Exporter::Otlp(otlp) => {
                let runtime = self.runtime.handle().clone();
                let exporter = MetricSender::new(
                    otlp,
                    settings.temporality,
                    settings.metric_timeout,
                    runtime,
                )?;
                let exporter = Counted::new(exporter, outcome, warnings);
                Some(metrics::provider(exporter, interval, resource.clone()))
            }
        };
        self.scrape = metrics::install(provider.as_ref(), settings.scrape, resource);
        if let Some(provider) = provider {
            self.closes.push(Box::new(move |limit| provider.shutdown_with_timeout(limit)));
        }
        Ok(())
    }

    /// With nowhere to go, trace ids are made, for answers and log lines, and nothing is recorded.
    fn start_spans(
        &mut self,
        settings: &ExportSettings,
        resource: &Resource,
        warnings: &Arc<Warnings>,
    ) -> Result<SdkTracerProvider, TelemetryError> {
        use opentelemetry_sdk::trace::SpanExporter;
        let limits = &settings.span_limits;
        let builder = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_sampler(settings.sampler.clone());
        let builder = match &settings.traces {
            Exporter::None => builder.with_sampler(Sampler::AlwaysOff),
            Exporter::Console => {
                let mut exporter = opentelemetry_stdout::SpanExporter::default();
                exporter.set_resource(resource);
                let queue = self.queue(
                    settings.span_queue,
                    Counters::spans(),
                    warnings,
                    SpanSender(exporter),
                );
                self.outcomes.spans = queue.stats();
                SpanQueue::new(queue, limits).install(builder, limits.counts)
            }
            Exporter::Otlp(otlp) => {
                let sender = Sender::new(otlp, Signal::Spans, resource)?;
                let queue = self.queue(settings.span_queue, Counters::spans(), warnings, sender);
                self.outcomes.spans = queue.stats();
                SpanQueue::new(queue, limits).install(builder, limits.counts)
            }
        };
        Ok(builder.build())
    }

    fn start_records(
        &mut self,
        settings: &ExportSettings,
        resource: &Resource,
        warnings: &Arc<Warnings>,
    ) -> Result<Option<BoxedLayer>, TelemetryError> {
        use opentelemetry_sdk::logs::LogExporter;
        Ok(match &settings.logs {
            Exporter::None => None,
            Exporter::Console => {
                let mut exporter = opentelemetry_stdout::LogExporter::default();
                exporter.set_resource(resource);
                let queue = self.queue(
                    settings.log_queue,
                    Counters::log_records(),
                    warnings,
                    LogSender(exporter),
                );
                self.outcomes.records = queue.stats();
                let provider = SdkLoggerProvider::builder().with_resource(resource.clone());
                let provider = provider.with_log_processor(queue).build();
                let layer = logs::bridge(&provider);
                self.closes.push(Box::new(move |limit| provider.shutdown_with_timeout(limit)));
                Some(layer)
            }
            Exporter::Otlp(otlp) => {
                let sender = Sender::new(otlp, Signal::Records, resource)?;
                let queue =
                    self.queue(settings.log_queue, Counters::log_records(), warnings, sender);
                self.outcomes.records = queue.stats();
                let layer = OtlpLogLayer::new(queue.clone(), settings.record_limits).boxed();
                self.closes.push(Box::new(move |limit| queue.close(limit)));
                Some(layer)
            }
        })
    }

    fn queue<S: BatchExporter>(
        &mut self,
        settings: QueueOptions,
        counters: Counters,
        warnings: &Arc<Warnings>,
        sink: S,
    ) -> Queue<S::Batch> {
        let (queue, work) = Queue::new(settings, counters, warnings.clone(), sink);
        self.exporters.push(Box::pin(work));
        queue
    }

    /// Exports what is left, all signals at the same time and within `limit`, and tells what was
    /// exported and what lost. Blocks.
    pub fn stop(self, limit: Duration) {
        let started = Instant::now();
        let Self { closes, outcomes, runtime, .. } = self;
        if closes.is_empty() {
            return runtime.stop();
        }
        let complete = close_all(closes, limit);
        // What is still under way is broken off.
        runtime.stop();
        let (exported, lost) = (outcomes.exported(), outcomes.outstanding());
        let took = started.elapsed();
        if complete && outcomes.is_complete() {
            info!(name: "telemetry.stopped", exported, lost, ?took, "telemetry exported");
        } else {
            warn!(name: "telemetry.stopped", exported, lost, ?took, "telemetry was lost");
        }
    }
}

/// Listens for tokio-console. Returns where, and the layer that collects for it.
fn listen_for_console(
    options: &ConsoleOptions,
) -> Result<(SocketAddr, BoxedLayer), TelemetryError> {
    let (address, layer) =
        serve_console(options).map_err(|error| TelemetryError::Console(options.bind, error))?;
    Ok((address, layer.boxed()))
}

/// Each on a thread of its own, since one whose collector hangs would use up the time of the
/// others. Answers whether all came to their end.
fn close_all(closes: Vec<Close>, limit: Duration) -> bool {
    let (done, results) = std::sync::mpsc::channel();
    let mut waiting = 0;
    for close in closes {
        let done = done.clone();
        let close = move || {
            // Nobody listens any more when time is up.
            let _ = done.send(close(limit).is_ok());
        };
        waiting += usize::from(thread::Builder::new().spawn(close).is_ok());
    }
    let deadline = Instant::now() + limit;
    (0..waiting).all(|_| {
        let left = deadline.saturating_duration_since(Instant::now());
        results.recv_timeout(left) == Ok(true)
    })
}

impl Outcomes {
    fn exported(&self) -> String {
        self.list(ExportStats::exported)
    }

    fn outstanding(&self) -> String {
        self.list(ExportStats::outstanding)
    }

    fn is_complete(&self) -> bool {
        [&self.spans, &self.records, &self.points].iter().all(|signal| signal.outstanding() == 0)
    }

    fn list(&self, count: impl Fn(&ExportStats) -> u64) -> String {
        let (spans, records) = (count(&self.spans), count(&self.records));
        format!("{spans} spans, {records} log records, {} data points", count(&self.points))
    }
}

/// What all telemetry of this process says of where it comes from.
///
/// Not by `opentelemetry-resource-detectors` (0.13): that of the host runs the program `hostname`, which
/// an image without a shell lacks, and that of the process exports the command line, which may hold
/// passwords.
fn resource(settings: &ExportSettings) -> Resource {
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().into_owned();
    let attributes = [
        KeyValue::new(attr::SERVICE_NAME, env!("CARGO_PKG_NAME")),
        KeyValue::new(attr::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new(attr::SERVICE_NAMESPACE, env!("CARGO_PKG_NAME")),
        KeyValue::new(attr::SERVICE_INSTANCE_ID, uuid::Uuid::new_v4().to_string()),
        KeyValue::new(attr::HOST_NAME, host),
        KeyValue::new(attr::OS_TYPE, std::env::consts::OS),
        KeyValue::new(attr::PROCESS_PID, i64::from(std::process::id())),
        KeyValue::new(attr::PROCESS_EXECUTABLE_NAME, program),
    ];
    Resource::builder_empty()
        .with_detector(Box::new(opentelemetry_sdk::resource::TelemetryResourceDetector))
        .with_schema_url(attributes, SCHEMA_URL)
        // The last word is the environment's.
        .with_attributes(settings.resource.clone())
        .build()
}

/// Who makes the telemetry.
fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}

/// The log filter with the exporters' own level, `OTEL_LOG_LEVEL`. What the filter itself says of
/// them has precedence.
fn with_level(filter: &str, level: Option<LevelFilter>) -> String {
    match level {
        Some(level) => format!("{}={level},opentelemetry={level},{filter}", module_path!()),
        None => filter.to_owned(),
    }
}

fn warn_of_ignored(settings: &ExportSettings) {
    for IgnoredValue { variable, value, reason } in &settings.ignored {
        warn!(
            name: "telemetry.variable_ignored",
            variable, value, reason,
            "value of {variable} ignored"
        );
    }
}

fn announce(settings: &ExportSettings) {
    if settings.disabled {
        info!(name: "telemetry.disabled", "OTEL_SDK_DISABLED is true: no traces, no metrics");
    } else if settings.collectors().next().is_none() {
        info!(
            name: "telemetry.not_exported",
            "nothing is exported by OTLP, since OTEL_EXPORTER_OTLP_ENDPOINT is not set"
        );
    } else {
        let (traces, metrics, logs) =
            (Shown(&settings.traces), Shown(&settings.metrics), Shown(&settings.logs));
        info!(name: "telemetry.exported", %traces, %metrics, %logs, "telemetry is exported");
    }
}

/// An exporter in a log line: without paths and passwords.
struct Shown<'a>(&'a Exporter);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Exporter::None => f.write_str("none"),
            Exporter::Console => f.write_str("console"),
            Exporter::Otlp(otlp) => write!(f, "{otlp:?}"),
        }
    }
}
