//! Log lines on standard output, and the same events as records for the collector. Only serving
//! has them: the output of other commands is data.

use std::{
    fmt,
    io::IsTerminal,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::ValueEnum;
use opentelemetry::{
    Context, InstrumentationScope,
    logs::LogRecord,
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter, LogProcessor, SdkLogRecord, SdkLoggerProvider},
    trace::SdkTracer,
};
use serde_json::{Map, Value, json};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::filter_fn,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use super::queue::{Queue, Sink};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Readable on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Readable lines.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The crates that the exporters are made of, which must not report on the reporting. (The
/// exporters' own thread is silenced besides: `runtime.rs`.) And tokio's instrumentation of itself,
/// which is made for tokio-console.
const NOT_EXPORTED: [&str; 10] = [
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

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging, and tracing if there is a tracer.
///
/// # Errors
/// If a subscriber was installed before, or `filter` is none.
pub fn init(
    format: LogFormat,
    filter: &str,
    tracer: Option<SdkTracer>,
    records: Option<&SdkLoggerProvider>,
) -> Result<(), String> {
    let parsed = || EnvFilter::try_new(filter).map_err(|error| error.to_string());
    let mut layers: Vec<BoxedLayer> = Vec::new();
    if let Some(tracer) = tracer {
        layers.push(spans(tracer));
    }
    layers.push(lines(format).with_filter(parsed()?).boxed());
    if let Some(records) = records {
        let bridge = OpenTelemetryTracingBridge::new(records);
        let exported = filter_fn(|metadata| !is_not_exported(metadata.target()));
        layers.push(bridge.with_filter(parsed()?).with_filter(exported).boxed());
    }
    tracing_subscriber::registry().with(layers).try_init().map_err(|error| error.to_string())
}

fn is_not_exported(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or_default();
    NOT_EXPORTED.contains(&krate) || krate.starts_with("opentelemetry")
}

/// Our spans as OpenTelemetry spans. Events are left out, and with them three traps: an ERROR
/// event would make its span an error for good, whoever's fault it was; a stack trace would be an
/// array; and each log line would be told twice.
fn spans(tracer: SdkTracer) -> BoxedLayer {
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
        .with_filter(filter_fn(|metadata| {
            metadata.is_span() && metadata.target().starts_with("colophon")
        }))
        .boxed()
}

fn lines(format: LogFormat) -> BoxedLayer {
    let pretty = match format {
        LogFormat::Auto => std::io::stdout().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    // No line tells the fields of its spans, so that they need not be written down.
    let layer = tracing_subscriber::fmt::layer().fmt_fields(NoSpanFields);
    if pretty { layer.event_format(Pretty).boxed() } else { layer.event_format(Json).boxed() }
}

/// The span that an event belongs to, if it is in one.
fn current_span() -> Option<SpanContext> {
    Context::map_current(|context| {
        let span = context.span().span_context().clone();
        span.is_valid().then_some(span)
    })
}

/// Writes down nothing of a span.
struct NoSpanFields;

impl<'w> FormatFields<'w> for NoSpanFields {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(
        &self,
        _: Writer<'w>,
        _: R,
    ) -> fmt::Result {
        Ok(())
    }
}

/// A readable line.
struct Pretty;

impl<S, N> FormatEvent<S, N> for Pretty
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        event.record(&mut Fields(&mut fields));
        let now: DateTime<Utc> = SystemTime::now().into();
        let (on, off) = if writer.has_ansi_escapes() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let level = event.metadata().level();
        let message = fields.remove("message").unwrap_or_default();
        let message = message.as_str().unwrap_or(event.metadata().name());
        write!(writer, "{} {level:>5} {on}{message}{off}", now.format("%H:%M:%S%.3f"))?;
        for (name, value) in fields {
            match value {
                Value::String(text) => write!(writer, " {name}={text}")?,
                other => write!(writer, " {name}={other}")?,
            }
        }
        if let Some(span) = current_span() {
            write!(writer, " trace_id={}", span.trace_id())?;
        }
        writeln!(writer)
    }
}

/// One JSON object a line.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now: DateTime<Utc> = SystemTime::now().into();
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".into(), now.to_rfc3339_opts(SecondsFormat::Micros, true).into());
        line.insert("level".into(), metadata.level().as_str().into());
        line.insert("event".into(), event_name(metadata.name()).into());
        event.record(&mut Fields(&mut line));
        line.insert("target".into(), metadata.target().into());
        if let Some(span) = current_span() {
            line.insert("trace_id".into(), span.trace_id().to_string().into());
            line.insert("span_id".into(), span.span_id().to_string().into());
            line.insert("trace_flags".into(), format!("{:02x}", span.trace_flags().to_u8()).into());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The name of an event. One that nobody named is called after its place in the source, which is
/// nothing to tell the world.
fn event_name(name: &'static str) -> &'static str {
    if name.starts_with("event ") { "log" } else { name }
}

/// Writes an event's fields into an object.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, chain(value).into());
    }
}

/// An error with the errors behind it, which most do not show by themselves.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

/// A log record as it waits for its export.
pub type Record = Box<(SdkLogRecord, InstrumentationScope)>;

impl LogProcessor for Queue<Record> {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        let mut record = record.clone();
        if let Some(name) = record.event_name() {
            record.set_event_name(event_name(name));
        }
        self.push(Box::new((record, scope.clone())));
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(Duration::from_secs(5))
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.close(timeout)
    }
}

/// Sends log records by any exporter.
pub struct Records<E>(pub E);

impl<E: LogExporter + 'static> Sink for Records<E> {
    type Item = Record;

    async fn send(&self, batch: Vec<Record>) -> OTelSdkResult {
        let records: Vec<_> = batch.iter().map(|item| (&item.0, &item.1)).collect();
        self.0.export(LogBatch::new(&records)).await
    }
}
