//! Installing a process's telemetry, and flushing it at the end.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use runtime_insight::catalog::Metric;
#[cfg(all(feature = "console", tokio_unstable))]
use runtime_insight::console::{ConsoleOptions, serve_console};
use tracing::{info, warn};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
};

use crate::{
    catalog,
    error::TelemetryError,
    exception,
    export_status::ExportStatus,
    exporters::Exporters,
    logs::{self, BoxedLayer, FmtLayer, LogFormat, NonBlockingWriter, WorkerGuard},
    metrics::Scrape,
    resource::{Service, resource, set_service},
    settings::{ExportSettings, Exporter, IgnoredValue},
    trace_store::{TraceStore, TraceStoreOptions},
    traces,
};

/// What is logged, unless said otherwise.
const LOG_FILTER: &str = "info,sqlx=warn";
/// How long the guard takes at most to export what is left when it is dropped.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Telemetry to be installed: what it is of, and how it leaves the process. By default nothing is
/// exported; metrics can be scraped, and log lines go to standard output.
#[derive(Debug)]
pub struct Builder {
    service: Service,
    settings: ExportSettings,
    log_format: Option<LogFormat>,
    log_filter: String,
    warnings_filter: String,
    span_filter: Targets,
    trace_store: Option<TraceStoreOptions>,
    #[cfg(all(feature = "console", tokio_unstable))]
    console: Option<ConsoleOptions>,
}

impl Builder {
    fn new(service: Service) -> Self {
        let krate = service.name.replace('-', "_");
        Self {
            service,
            settings: ExportSettings::default(),
            log_format: Some(LogFormat::Auto),
            log_filter: LOG_FILTER.to_owned(),
            warnings_filter: format!("{krate}=warn"),
            span_filter: Targets::new().with_target(krate, tracing::Level::INFO),
            trace_store: None,
            #[cfg(all(feature = "console", tokio_unstable))]
            console: None,
        }
    }

    /// Reads the variables of the OpenTelemetry specification, such as `OTEL_EXPORTER_OTLP_ENDPOINT`, and
    /// `RUST_LOG`.
    ///
    /// # Errors
    /// The first variable whose value cannot be used.
    pub fn from_env(mut self) -> Result<Self, TelemetryError> {
        self.settings = ExportSettings::from_env()?;
        if let Some(filter) = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty()) {
            self.log_filter = filter;
        }
        Ok(self)
    }

    /// Sets how telemetry leaves the process.
    #[must_use]
    pub fn export(mut self, settings: ExportSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Adds metrics of the application to the catalog, which are then described and have their buckets.
    #[must_use]
    pub fn metrics(self, metrics: &'static [&'static Metric]) -> Self {
        catalog::register(metrics);
        self
    }

    /// Sets the format of log lines; by default readable on a terminal, and JSON elsewhere.
    #[must_use]
    pub fn log_format(mut self, format: LogFormat) -> Self {
        self.log_format = Some(format);
        self
    }

    /// Leaves standard output to data: warnings that pass `filter`, such as `shop=warn`, go to standard
    /// error.
    #[must_use]
    pub fn log_warnings_to_stderr(mut self, filter: &str) -> Self {
        self.log_format = None;
        filter.clone_into(&mut self.warnings_filter);
        self
    }

    /// Sets which events are logged and exported, as `RUST_LOG` does; `info,sqlx=warn` by default.
    #[must_use]
    pub fn log_filter(mut self, filter: &str) -> Self {
        filter.clone_into(&mut self.log_filter);
        self
    }

    /// Sets which spans of `tracing` are exported, such as those of `#[instrument]`; by default those of
    /// the service's own crate at level INFO.
    #[must_use]
    pub fn span_filter(mut self, filter: Targets) -> Self {
        self.span_filter = filter;
        self
    }

    /// Stores recent traces in the process, with their log records; by default none. They are recorded
    /// whether they are sampled and exported or not.
    #[must_use]
    pub fn trace_store(mut self, options: Option<TraceStoreOptions>) -> Self {
        self.trace_store = options;
        self
    }

    /// Serves tokio-console.
    #[cfg(all(feature = "console", tokio_unstable))]
    #[must_use]
    pub fn console(mut self, options: Option<ConsoleOptions>) -> Self {
        self.console = options;
        self
    }

    /// Installs the recorder of metrics, the tracer and the subscriber of `tracing`. Nothing of it needs
    /// a runtime.
    ///
    /// # Errors
    /// If the settings do not fit together, the operating system rejects a thread, or one of them is
    /// installed already.
    pub fn install(self) -> Result<Telemetry, TelemetryError> {
        let Self { settings, .. } = &self;
        // Before anything is: what is installed stays.
        if tracing::dispatcher::has_been_set() {
            return Err(TelemetryError::Installed("subscriber of tracing"));
        }
        set_service(self.service);
        exception::install(settings.exceptions);
        let output = NonBlockingWriter::start(io::stdout())?;
        let guard = output.guard();
        let mut exporters = Exporters::start(resource(settings.resource.clone()))?;
        let (mut scrape, mut tracer, mut records) = (None, None, Vec::new());
        let trace_store = self.trace_store.clone().filter(|_| !settings.disabled);
        let trace_store = trace_store.map(TraceStore::new);
        if !settings.disabled {
            scrape = exporters.metrics(settings)?;
            let provider = exporters.spans(settings, trace_store.as_ref())?;
            let own = traces::install(&provider).ok_or(TelemetryError::Installed("tracer"))?;
            tracer = Some((own, self.span_filter.clone()));
            records = exporters.records(settings, trace_store.as_ref())?;
        }
        let (address, console) = self.listen_for_console()?.unzip();
        self.subscribe(output, tracer, records, console)?;
        if let Some(address) = address {
            info!(
                name: "tokio_console.listening", { tokio.console.address = %address },
                "`tokio-console http://{address}` shows the tasks"
            );
        }
        exporters.spawn();
        warn_of_ignored(settings);
        announce(settings);
        let propagates = settings.propagate;
        traces::set_propagation(propagates);
        let status = exporters.status(settings);
        let exporters = Mutex::new(Some(exporters));
        Ok(Telemetry { exporters, status, scrape, trace_store, _guard: guard })
    }

    /// Listens for tokio-console. Returns where, and the layer that collects for it.
    #[cfg(all(feature = "console", tokio_unstable))]
    fn listen_for_console(&self) -> Result<Option<(SocketAddr, BoxedLayer)>, TelemetryError> {
        let Some(options) = &self.console else { return Ok(None) };
        let (address, layer) =
            serve_console(options).map_err(|error| TelemetryError::Console(options.bind, error))?;
        Ok(Some((address, layer.boxed())))
    }

    #[cfg(not(all(feature = "console", tokio_unstable)))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as with tokio-console")]
    fn listen_for_console(&self) -> Result<Option<(SocketAddr, BoxedLayer)>, TelemetryError> {
        Ok(None)
    }

    fn subscribe(
        &self,
        output: NonBlockingWriter,
        tracer: Option<(opentelemetry_sdk::trace::SdkTracer, Targets)>,
        records: Vec<BoxedLayer>,
        console: Option<BoxedLayer>,
    ) -> Result<(), TelemetryError> {
        let filter = &with_level(&self.log_filter, self.settings.log_level);
        let lines = match self.log_format {
            Some(format) => (FmtLayer::new(format, output).boxed(), filter.as_str()),
            None => (logs::warnings(), self.warnings_filter.as_str()),
        };
        logs::init(lines, tracer, (records, filter), console)
    }
}

/// A process's telemetry. What is left is exported when this is dropped: keep it to the end of `main`.
#[must_use = "telemetry is flushed when this is dropped"]
pub struct Telemetry {
    /// None after a flush. In a mutex, so that it can be shared.
    exporters: Mutex<Option<Exporters>>,
    status: ExportStatus,
    scrape: Option<Scrape>,
    trace_store: Option<TraceStore>,
    /// Dropped last: the last log lines are written by then.
    _guard: WorkerGuard,
}

impl Telemetry {
    /// Begins the telemetry of a service with this name and version.
    ///
    /// ```
    /// # fn main() -> Result<(), graphql_telemetry::TelemetryError> {
    /// use graphql_telemetry::Telemetry;
    /// let _telemetry = Telemetry::builder("shop", env!("CARGO_PKG_VERSION")).from_env()?.install()?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn builder(name: &'static str, version: &'static str) -> Builder {
        Builder::new(Service { name, version })
    }

    /// Returns the metrics for a scrape, unless they are not to be scraped.
    #[must_use]
    pub fn scrape(&self) -> Option<Scrape> {
        self.scrape.clone()
    }

    /// Returns the store of recent traces, if there is one.
    #[must_use]
    pub fn trace_store(&self) -> Option<TraceStore> {
        self.trace_store.clone()
    }

    /// Returns what is produced, exported and lost, while the process runs.
    #[must_use]
    pub fn export_status(&self) -> ExportStatus {
        self.status.clone()
    }

    /// Exports what is left, within `limit` and not within the five seconds of dropping it, and logs what
    /// was exported and what was lost. Blocks.
    pub fn shutdown(mut self, limit: Duration) {
        self.flush(limit);
    }

    fn flush(&mut self, limit: Duration) {
        let exporters = self.exporters.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(exporters) = exporters.take() {
            exporters.shutdown(limit);
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.flush(FLUSH_TIMEOUT);
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// The log filter with the exporters' own level, `OTEL_LOG_LEVEL`. What the filter itself says of
/// them has precedence.
fn with_level(filter: &str, level: Option<LevelFilter>) -> String {
    match level {
        Some(level) => {
            format!(
                "{}={level},otlp_export={level},opentelemetry={level},{filter}",
                env!("CARGO_CRATE_NAME")
            )
        }
        None => filter.to_owned(),
    }
}

fn warn_of_ignored(settings: &ExportSettings) {
    for IgnoredValue { variable, value, reason } in &settings.ignored {
        warn!(
            name: "telemetry.variable_ignored",
            {
                telemetry.variable.name = variable,
                telemetry.variable.value = value,
                telemetry.variable.reason = reason
            },
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
        info!(
            name: "telemetry.exported",
            { telemetry.export.traces = %traces, telemetry.export.metrics = %metrics, telemetry.export.logs = %logs },
            "telemetry is exported"
        );
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
