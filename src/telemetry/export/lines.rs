//! Log lines on standard output.

use std::{fmt, io::IsTerminal, time::SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::ValueEnum;
use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt},
};
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::logs::BoxedLayer;

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

/// Writes events that way.
#[must_use]
pub fn lines(format: LogFormat) -> BoxedLayer {
    let pretty = match format {
        LogFormat::Auto => std::io::stdout().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    // No line tells the fields of its spans, so that they need not be written down.
    let layer = tracing_subscriber::fmt::layer().fmt_fields(NoSpanFields);
    layer.event_format(Lines { pretty }).boxed()
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

/// Writes events as lines.
struct Lines {
    pretty: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = SystemTime::now().into();
        if self.pretty { pretty(writer, event, now) } else { json(writer, event, now) }
    }
}

/// A readable line.
fn pretty(mut writer: Writer<'_>, event: &Event<'_>, now: DateTime<Utc>) -> fmt::Result {
    let mut fields = Map::new();
    event.record(&mut Fields(&mut fields));
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

/// A JSON object.
fn json(mut writer: Writer<'_>, event: &Event<'_>, now: DateTime<Utc>) -> fmt::Result {
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

/// The name of an event. One that nobody named is called after its place in the source, which is
/// nothing to tell the world.
#[must_use]
pub fn event_name(name: &'static str) -> &'static str {
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
        self.put(field, Value::from(value));
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
