//! Log lines on standard output.

use std::{fmt, io::IsTerminal, time::SystemTime};

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use humantime::format_rfc3339_micros;
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

use super::{logs::BoxedLayer, output::Output};
use crate::telemetry::hex::digits;

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
pub fn lines(format: LogFormat, output: Output) -> BoxedLayer {
    let pretty = match format {
        LogFormat::Auto => std::io::stdout().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    // No line tells the fields of its spans, so that they need not be written down.
    let layer = tracing_subscriber::fmt::layer().fmt_fields(NoSpanFields).with_writer(output);
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
        let now = SystemTime::now();
        if self.pretty { pretty(writer, event, now) } else { json(writer, event, now) }
    }
}

/// A readable line.
fn pretty(mut writer: Writer<'_>, event: &Event<'_>, now: SystemTime) -> fmt::Result {
    let mut fields = Map::new();
    event.record(&mut Visitor(&mut Fields(&mut fields)));
    let (on, off) = if writer.has_ansi_escapes() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let level = event.metadata().level();
    let message = fields.remove("message").unwrap_or_default();
    let message = message.as_str().unwrap_or(event.metadata().name());
    let now = DateTime::<Utc>::from(now).format("%H:%M:%S%.3f");
    write!(writer, "{now} {level:>5} {on}{message}{off}")?;
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

/// A JSON object. Written as it comes, without one in memory: there is a line for each request.
fn json(mut writer: Writer<'_>, event: &Event<'_>, now: SystemTime) -> fmt::Result {
    let metadata = event.metadata();
    writer.write_str(r#"{"timestamp":""#)?;
    write!(writer, "{}", format_rfc3339_micros(now))?;
    writer.write_str(r#"","level":""#)?;
    writer.write_str(metadata.level().as_str())?;
    writer.write_str(r#"","event":""#)?;
    writer.write_str(event_name(metadata.name()))?;
    writer.write_char('"')?;
    let mut members = Members { writer: &mut writer, result: Ok(()) };
    event.record(&mut Visitor(&mut members));
    members.result?;
    writer.write_str(r#","target":""#)?;
    writer.write_str(metadata.target())?;
    writer.write_char('"')?;
    if let Some(span) = current_span() {
        let mut id = [0; 32];
        writer.write_str(r#","trace_id":""#)?;
        writer.write_str(digits(&span.trace_id().to_bytes(), &mut id))?;
        writer.write_str(r#"","span_id":""#)?;
        writer.write_str(digits(&span.span_id().to_bytes(), &mut id[..16]))?;
        writer.write_str(r#"","trace_flags":""#)?;
        writer.write_str(digits(&[span.trace_flags().to_u8()], &mut id[..2]))?;
        writer.write_char('"')?;
    }
    writer.write_str("}\n")
}

/// The name of an event. One that nobody named is called after its place in the source, which is
/// nothing to tell the world.
#[must_use]
pub fn event_name(name: &'static str) -> &'static str {
    if name.starts_with("event ") { "log" } else { name }
}

/// Takes an event's fields as JSON values.
trait Take {
    fn take(&mut self, field: &Field, value: Value);

    fn take_text(&mut self, field: &Field, text: &str) {
        self.take(field, text.into());
    }
}

/// An event's fields as an object.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Take for Fields<'_> {
    fn take(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

/// An event's fields as further members of an object that is being written.
struct Members<'a, 'w> {
    writer: &'a mut Writer<'w>,
    result: fmt::Result,
}

impl Members<'_, '_> {
    /// `value` is written as JSON.
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        /// What a line has of its own.
        const OURS: [&str; 7] =
            ["timestamp", "level", "event", "target", "trace_id", "span_id", "trace_flags"];
        // A library's field of such a name would be the second of it.
        let prefix = if OURS.contains(&field.name()) { "field." } else { "" };
        let writer = &mut *self.writer;
        self.result = self.result.and_then(|()| {
            for part in [",\"", prefix, field.name(), "\":"] {
                writer.write_str(part)?;
            }
            value(writer)
        });
    }
}

impl Take for Members<'_, '_> {
    fn take(&mut self, field: &Field, value: Value) {
        self.write(field, |to| write!(to, "{value}"));
    }

    fn take_text(&mut self, field: &Field, text: &str) {
        self.write(field, |to| quote(to, text));
    }
}

/// A text as JSON.
fn quote(to: &mut Writer<'_>, text: &str) -> fmt::Result {
    /// Everything below a space is escaped, as are these two.
    const fn needs_escape(byte: u8) -> bool {
        byte < 0x20 || byte == b'"' || byte == b'\\'
    }
    if text.bytes().any(needs_escape) {
        return write!(to, "{}", Value::from(text));
    }
    to.write_str("\"")?;
    to.write_str(text)?;
    to.write_str("\"")
}

impl<T: Take> Visit for Visitor<'_, T> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.take_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.take_text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.take(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.take(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.take(field, Value::from(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.take_text(field, &chain(value));
    }
}

/// Hands an event's fields over.
struct Visitor<'a, T>(&'a mut T);

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

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt};

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_is_json_whatever_its_fields_hold() {
        let written = Written::default();
        let layer = tracing_subscriber::fmt::layer().with_writer(written.clone());
        let layer = layer.fmt_fields(NoSpanFields).event_format(Lines { pretty: false });
        let text = "\"quoted\" \\ and\nbroken \u{1}";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(
                name: "an.event",
                { a.text = text, debug = ?text, n = -1, big = u64::MAX, x = 0.5, nan = f64::NAN, level = "theirs" },
                "said {text}"
            );
        });
        let line = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
        let mut line: Map<String, Value> = serde_json::from_str(&line).unwrap();
        assert!(line.remove("timestamp").is_some());
        let expected = serde_json::json!({
            "level": "INFO", "event": "an.event", "target": module_path!(),
            "message": format!("said {text}"), "a.text": text, "debug": format!("{text:?}"),
            "n": -1, "big": u64::MAX, "x": 0.5, "nan": null, "field.level": "theirs",
        });
        assert_eq!(Value::Object(line), expected);
    }
}
