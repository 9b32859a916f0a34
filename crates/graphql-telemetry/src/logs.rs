//! The subscriber of `tracing`: log lines, log records for the collector, OpenTelemetry spans.

mod fmt_layer;
mod writer;

use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::{logs::SdkLoggerProvider, trace::SdkTracer};
use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{Directive, FilterExt, LevelFilter, Targets, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

pub use self::fmt_layer::LogFormat;
pub(crate) use self::{
    fmt_layer::FmtLayer,
    writer::{NonBlockingWriter, WorkerGuard},
};
use crate::error::TelemetryError;

/// The crates that the exporters are made of, which must not report on the reporting. (The
/// exporters' own thread is silenced besides, by `otlp_export::ExportRuntime`.) And tokio's instrumentation of itself,
/// which is made for tokio-console.
const NOT_EXPORTED: [&str; 11] = [
    "dial9_worker",
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "reqwest",
    "runtime",
    "rustls",
    "tokio",
    "tonic",
    "tower",
];

/// The crate that at level `trace` logs the messages of WebSockets, with variables and tokens.
const NEVER_LOGGED: &str = "tungstenite=off";

/// A layer of any kind.
pub type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Writes events to standard error, for people.
#[must_use]
pub fn warnings() -> BoxedLayer {
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .boxed()
}

/// Starts logging by `lines`, and tracing if there is a tracer. Lines and records have a filter each.
///
/// # Errors
/// If a subscriber was installed before, or a filter is none.
pub fn init(
    (lines, lines_filter): (BoxedLayer, &str),
    tracer: Option<(SdkTracer, Targets)>,
    (records, records_filter): (Vec<BoxedLayer>, &str),
    console: Option<BoxedLayer>,
) -> Result<(), TelemetryError> {
    let parsed = |filter| {
        let invalid = |error: &dyn std::error::Error| TelemetryError::Filter(error.to_string());
        let filter = EnvFilter::try_new(filter).map_err(|error| invalid(&error))?;
        let never = NEVER_LOGGED.parse::<Directive>().map_err(|error| invalid(&error))?;
        Ok::<_, TelemetryError>(filter.add_directive(never))
    };
    let mut layers: Vec<BoxedLayer> = console.into_iter().collect();
    if let Some((tracer, filter)) = tracer {
        layers.push(spans(tracer, filter));
    }
    layers.push(lines.with_filter(parsed(lines_filter)?).boxed());
    for records in records {
        let exported = filter_fn(|metadata| !is_not_exported(metadata.target()));
        layers.push(records.with_filter(parsed(records_filter)?).with_filter(exported).boxed());
    }
    let subscriber = tracing_subscriber::registry().with(layers);
    subscriber.try_init().map_err(|_| TelemetryError::Installed("subscriber of tracing"))
}

fn is_not_exported(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or_default();
    NOT_EXPORTED.contains(&krate) || krate.starts_with("opentelemetry")
}

/// Spans of `tracing` that pass `filter`, such as `#[instrument]` makes, as OpenTelemetry spans below
/// the current one. None of this crate comes with each request: they cost three times as much as direct
/// ones. Events are left out, and with them three traps: an ERROR event would set the status of its
/// span, also for a client's mistake; a stack trace would be an array; and each event is a log record already.
fn spans(tracer: SdkTracer, filter: Targets) -> BoxedLayer {
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_threads(false)
        .with_target(false)
        .with_location(false)
        .with_tracked_inactivity(false)
        .with_error_fields_to_exceptions(false)
        .with_error_events_to_status(false)
        .with_error_events_to_exceptions(false)
        .with_error_records_to_exceptions(false)
        .with_filter(
            // Without a hint every event of every crate would be looked at.
            filter_fn(is_span).with_max_level_hint(LevelFilter::TRACE).and(filter),
        )
        .boxed()
}

fn is_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
}

/// What hands events to `provider` as log records.
#[must_use]
pub fn bridge(provider: &SdkLoggerProvider) -> BoxedLayer {
    OpenTelemetryTracingBridge::new(provider).boxed()
}
