//! The exporters of the three signals: started in the order in which they need one another, shut down
//! together.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{LogExporter, SdkLoggerProvider},
    trace::{Sampler, SdkTracerProvider, SpanExporter},
};
use otlp_export::{
    BatchExporter, Counters, ExportRuntime, ExportStats, LogSender, MetricSender, OtlpError,
    OtlpLogLayer, OtlpOptions, Queue, QueueOptions, RecordObserver, Sender, Signal, SpanObserver,
    SpanQueue, SpanSender,
};
use tracing::{info, warn};
use tracing_subscriber::Layer as _;

use crate::{
    error::TelemetryError,
    export_status::{ExportStatus, SignalState},
    logs::{self, BoxedLayer},
    metrics::{self, CountingExporter, Scrape},
    settings::{ExportSettings, Exporter},
    trace_store::TraceStore,
    traces::{RecordAll, UnguessableIds},
    warnings::Warnings,
};

/// Exports what is left of a signal, within a time.
type Shutdown = Box<dyn FnOnce(Duration) -> OTelSdkResult + Send>;

/// The exporters of a process.
pub(crate) struct Exporters {
    runtime: ExportRuntime,
    resource: Resource,
    warnings: Arc<Warnings>,
    shutdowns: Vec<Shutdown>,
    /// The work of the queues, until it is spawned.
    work: Vec<BoxFuture<'static, ()>>,
    spans: Arc<ExportStats>,
    records: Arc<ExportStats>,
    points: Arc<ExportStats>,
}

impl Exporters {
    /// Starts the thread that they run on.
    ///
    /// # Errors
    /// If the operating system returns an error.
    pub fn start(resource: Resource) -> std::io::Result<Self> {
        Ok(Self {
            runtime: ExportRuntime::start()?,
            resource,
            warnings: Arc::default(),
            shutdowns: Vec::new(),
            work: Vec::new(),
            spans: Arc::default(),
            records: Arc::default(),
            points: Arc::default(),
        })
    }

    /// Installs the recorder of metrics. First, since the others count what they do.
    pub fn metrics(&mut self, settings: &ExportSettings) -> Result<Option<Scrape>, TelemetryError> {
        let _entered = self.runtime.handle().enter();
        let interval = settings.metric_interval;
        let (stats, warnings) = (self.points.clone(), self.warnings.clone());
        let provider = match &settings.metrics {
            Exporter::None => None,
            Exporter::Console => {
                let exporter = opentelemetry_stdout::MetricExporter::default();
                let exporter = CountingExporter::new(exporter, stats, warnings);
                Some(metrics::provider(exporter, interval, self.resource.clone()))
            }
            Exporter::Otlp(otlp) => {
                let runtime = self.runtime.handle().clone();
                let (temporality, timeout) = (settings.temporality, settings.metric_timeout);
                let exporter = MetricSender::new(otlp, temporality, timeout, runtime)?;
                let exporter = CountingExporter::new(exporter, stats, warnings);
                Some(metrics::provider(exporter, interval, self.resource.clone()))
            }
        };
        let scrape = metrics::install(provider.as_ref(), settings.scrape, &self.resource)
            .map_err(|_| TelemetryError::Installed("recorder of metrics"))?;
        if let Some(provider) = provider {
            self.on_shutdown(move |limit| provider.shutdown_with_timeout(limit));
        }
        Ok(scrape)
    }

    /// Makes the provider of tracers. With nowhere to go, trace ids are made, for responses and log lines,
    /// and nothing is recorded.
    pub fn spans(
        &mut self,
        settings: &ExportSettings,
        store: Option<&TraceStore>,
    ) -> Result<SdkTracerProvider, OtlpError> {
        let limits = &settings.span_limits;
        let builder = SdkTracerProvider::builder()
            .with_resource(self.resource.clone())
            .with_id_generator(UnguessableIds);
        let exports = !matches!(settings.traces, Exporter::None);
        let builder = match (exports, store) {
            (true, None) => builder.with_sampler(settings.sampler.clone()),
            (true, Some(_)) => builder.with_sampler(RecordAll(settings.sampler.clone())),
            (false, None) => builder.with_sampler(Sampler::AlwaysOff),
            (false, Some(_)) => builder.with_sampler(RecordAll(Sampler::AlwaysOff)),
        };
        let store = store.map(|store| Arc::new(store.clone()) as Arc<dyn SpanObserver>);
        let (queue, counters) = (settings.span_queue, Counters::spans());
        let builder = match &settings.traces {
            Exporter::None => match store {
                Some(store) => {
                    SpanQueue::observe_only(store, limits).install(builder, limits.counts)
                }
                None => builder,
            },
            Exporter::Console => {
                let mut exporter = opentelemetry_stdout::SpanExporter::default();
                exporter.set_resource(&self.resource);
                let queue = self.queue(queue, counters, SpanSender(exporter));
                self.spans = queue.stats();
                let queue = SpanQueue::new(queue, limits).with_observer(store);
                queue.install(builder, limits.counts)
            }
            Exporter::Otlp(otlp) => {
                let sender = self.sender(otlp, Signal::Spans)?;
                let queue = self.queue(queue, counters, sender);
                self.spans = queue.stats();
                let queue = SpanQueue::new(queue, limits).with_observer(store);
                queue.install(builder, limits.counts)
            }
        };
        let provider = builder.build();
        let ending = provider.clone();
        self.on_shutdown(move |limit| ending.shutdown_with_timeout(limit));
        Ok(provider)
    }

    /// Makes the layers that export events as log records, and store those of traces.
    pub fn records(
        &mut self,
        settings: &ExportSettings,
        store: Option<&TraceStore>,
    ) -> Result<Vec<BoxedLayer>, OtlpError> {
        let limits = settings.record_limits;
        let store = store.map(|store| Arc::new(store.clone()) as Arc<dyn RecordObserver>);
        let (queue, counters) = (settings.log_queue, Counters::log_records());
        let observed =
            |store: Option<_>| store.map(|store| OtlpLogLayer::observe_only(store, limits).boxed());
        Ok(match &settings.logs {
            Exporter::None => observed(store).into_iter().collect(),
            Exporter::Console => {
                let mut exporter = opentelemetry_stdout::LogExporter::default();
                exporter.set_resource(&self.resource);
                let queue = self.queue(queue, counters, LogSender(exporter));
                self.records = queue.stats();
                let provider = SdkLoggerProvider::builder().with_resource(self.resource.clone());
                let provider = provider.with_log_processor(queue).build();
                let layer = logs::bridge(&provider);
                self.on_shutdown(move |limit| provider.shutdown_with_timeout(limit));
                [layer].into_iter().chain(observed(store)).collect()
            }
            Exporter::Otlp(otlp) => {
                let sender = self.sender(otlp, Signal::Records)?;
                let queue = self.queue(queue, counters, sender);
                self.records = queue.stats();
                let layer = OtlpLogLayer::new(queue.clone(), limits).with_observer(store);
                self.on_shutdown(move |limit| queue.close(limit));
                vec![layer.boxed()]
            }
        })
    }

    /// Returns what becomes of the signals. After all of them were made.
    pub fn status(&self, settings: &ExportSettings) -> ExportStatus {
        let none = Exporter::None;
        let used = |exporter| if settings.disabled { &none } else { exporter };
        let signals = vec![
            SignalState::new("traces", used(&settings.traces), &self.spans),
            SignalState::new("metrics", used(&settings.metrics), &self.points),
            SignalState::new("logs", used(&settings.logs), &self.records),
        ];
        ExportStatus::new(&self.resource, signals, settings.scrape && !settings.disabled)
    }

    fn sender(&self, otlp: &OtlpOptions, signal: Signal) -> Result<Sender, OtlpError> {
        // Exporters look for the runtime where they are made.
        let _entered = self.runtime.handle().enter();
        Sender::new(otlp, signal, &self.resource)
    }

    fn queue<S: BatchExporter>(
        &mut self,
        settings: QueueOptions,
        counters: Counters,
        sink: S,
    ) -> Queue<S::Batch> {
        let (queue, work) = Queue::new(settings, counters, self.warnings.clone(), sink);
        self.work.push(Box::pin(work));
        queue
    }

    fn on_shutdown(&mut self, shutdown: impl FnOnce(Duration) -> OTelSdkResult + Send + 'static) {
        self.shutdowns.push(Box::new(shutdown));
    }

    /// Begins to export. Not before there is a subscriber: tokio-console sees only the tasks that are
    /// spawned from then on.
    pub fn spawn(&mut self) {
        let _entered = self.runtime.handle().enter();
        for work in self.work.drain(..) {
            runtime_insight::spawn("telemetry exporter", work);
        }
    }

    /// Exports what is left, all signals at the same time and within `limit`, and logs what was exported
    /// and what was lost. Blocks.
    pub fn shutdown(self, limit: Duration) {
        let started = Instant::now();
        let Self { runtime, shutdowns, spans, records: logs, points, .. } = self;
        if shutdowns.is_empty() {
            return runtime.stop();
        }
        let complete = all(shutdowns, limit);
        // What is still in progress is cut off.
        runtime.stop();
        let signals = [(&spans, "spans"), (&logs, "log records"), (&points, "data points")];
        let counts = |count: fn(&ExportStats) -> u64| {
            signals.map(|(signal, name)| format!("{} {name}", count(signal))).join(", ")
        };
        let exported = counts(ExportStats::exported);
        let lost = counts(ExportStats::outstanding);
        let is_complete = complete && signals.iter().all(|(signal, _)| signal.outstanding() == 0);
        let took = started.elapsed().as_secs_f64();
        if is_complete {
            info!(
                name: "telemetry.stopped",
                { telemetry.export.exported = exported, telemetry.export.lost = lost, telemetry.export.duration = took },
                "telemetry exported"
            );
        } else {
            warn!(
                name: "telemetry.stopped",
                { telemetry.export.exported = exported, telemetry.export.lost = lost, telemetry.export.duration = took },
                "telemetry was lost"
            );
        }
    }
}

/// Does each on a thread of its own, since one whose collector hangs would use up the time of the others.
/// Returns whether all succeeded in time.
fn all(shutdowns: Vec<Shutdown>, limit: Duration) -> bool {
    let (done, results) = mpsc::channel();
    let mut waiting = 0;
    for shutdown in shutdowns {
        let done = done.clone();
        let shutdown = move || {
            // Nobody listens any more when time is up.
            let _ = done.send(shutdown(limit).is_ok());
        };
        waiting += usize::from(thread::Builder::new().spawn(shutdown).is_ok());
    }
    let deadline = Instant::now() + limit;
    (0..waiting).all(|_| {
        let left = deadline.saturating_duration_since(Instant::now());
        results.recv_timeout(left) == Ok(true)
    })
}
