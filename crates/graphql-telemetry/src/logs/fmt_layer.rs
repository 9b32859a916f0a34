//! Log lines on standard output.

use std::{
    cell::Cell,
    fmt,
    io::{IsTerminal, Write},
    time::SystemTime,
};

use chrono::{DateTime, Utc};
use const_hex::Buffer as Hex;
use humantime::format_rfc3339_micros;
use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt},
};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer};

use otlp_export::{error_chain, event_name};

use super::writer::NonBlockingWriter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum LogFormat {
    /// Readable on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Readable lines.
    Pretty,
    /// One JSON object a line.
    Json,
}

thread_local! {
    static LINE: Cell<Vec<u8>> = Cell::default();
}

/// Writes events as lines. Our own and not tracing-subscriber's, which formats each field through
/// `fmt`: there is a line for each request.
pub struct FmtLayer {
    output: NonBlockingWriter,
    is_pretty: bool,
    is_bold: bool,
}

impl FmtLayer {
    /// To `output`.
    #[must_use]
    pub fn new(format: LogFormat, output: NonBlockingWriter) -> Self {
        let is_pretty = match format {
            LogFormat::Auto => std::io::stdout().is_terminal(),
            LogFormat::Pretty => true,
            LogFormat::Json => false,
        };
        // See no-color.org.
        let is_bold = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { output, is_pretty, is_bold }
    }
}

impl<S: Subscriber> Layer<S> for FmtLayer {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        // Taken and not borrowed: a field's `Debug` may make another event.
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        line.clear();
        let now = SystemTime::now();
        // Nothing keeps a vector from growing; a value that cannot be written ends its line.
        let _ = if self.is_pretty {
            pretty(&mut line, event, now, self.is_bold)
        } else {
            json(&mut line, event, now)
        };
        self.output.push(&line, *event.metadata().level() <= Level::WARN);
        // A thread that ends has no place for it any more.
        let _ = LINE.try_with(|kept| kept.set(line));
    }
}

/// Does something with the span that an event belongs to, if it is in one.
fn with_current_span<T>(work: impl FnOnce(&SpanContext) -> T) -> Option<T> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| work(span))
    })
}

/// A readable line.
fn pretty(
    line: &mut Vec<u8>,
    event: &Event<'_>,
    now: SystemTime,
    is_bold: bool,
) -> std::io::Result<()> {
    let mut fields = Map::new();
    event.record(&mut Visitor(&mut Fields(&mut fields)));
    let (on, off) = if is_bold { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let level = event.metadata().level();
    let message = fields.remove("message").unwrap_or_default();
    let message = message.as_str().unwrap_or(event.metadata().name());
    let now = DateTime::<Utc>::from(now).format("%H:%M:%S%.3f");
    write!(line, "{now} {level:>5} {on}{message}{off}")?;
    for (name, value) in fields {
        match value {
            Value::String(text) => write!(line, " {name}={text}")?,
            other => write!(line, " {name}={other}")?,
        }
    }
    with_current_span(|span| write!(line, " trace_id={}", span.trace_id())).transpose()?;
    writeln!(line)
}

/// A JSON object. Written as it comes, without one in memory.
fn json(line: &mut Vec<u8>, event: &Event<'_>, now: SystemTime) -> std::io::Result<()> {
    let metadata = event.metadata();
    write!(line, r#"{{"timestamp":"{}","level":""#, format_rfc3339_micros(now))?;
    append(line, [metadata.level().as_str(), "\""]);
    if let Some(name) = event_name(metadata.name()) {
        append(line, [r#","event":""#, name, "\""]);
    }
    event.record(&mut Visitor(&mut Members(line)));
    append(line, [r#","target":""#, metadata.target(), "\""]);
    with_current_span(|span| {
        let (mut trace, mut id, mut flags) = (Hex::<16>::new(), Hex::<8>::new(), Hex::<1>::new());
        append(line, [r#","trace_id":""#, trace.format(&span.trace_id().to_bytes())]);
        append(line, [r#"","span_id":""#, id.format(&span.span_id().to_bytes())]);
        let flags = flags.format(&[span.trace_flags().to_u8()]);
        append(line, [r#"","trace_flags":""#, flags, "\""]);
    });
    append(line, ["}\n"]);
    Ok(())
}

fn append<const N: usize>(line: &mut Vec<u8>, parts: [&str; N]) {
    for part in parts {
        line.extend_from_slice(part.as_bytes());
    }
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
struct Members<'a>(&'a mut Vec<u8>);

impl Members<'_> {
    fn write(&mut self, field: &Field, value: &(impl Serialize + ?Sized)) {
        /// What a line has of its own.
        const OURS: [&str; 7] =
            ["timestamp", "level", "event", "target", "trace_id", "span_id", "trace_flags"];
        // A library's field of such a name would be the second of it.
        let prefix = if OURS.contains(&field.name()) { "field." } else { "" };
        append(self.0, [",\"", prefix, field.name(), "\":"]);
        // A vector takes anything, and these are no maps whose keys might not be texts.
        let _ = serde_json::to_writer(&mut *self.0, value);
    }
}

impl Take for Members<'_> {
    fn take(&mut self, field: &Field, value: Value) {
        self.write(field, &value);
    }

    fn take_text(&mut self, field: &Field, text: &str) {
        self.write(field, text);
    }
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
        self.0.take_text(field, &error_chain(value));
    }
}

/// Hands an event's fields over.
struct Visitor<'a, T>(&'a mut T);

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::layer::SubscriberExt;

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

    /// The lines of what `work` logs.
    fn logged(is_pretty: bool, work: impl FnOnce()) -> String {
        let written = Written::default();
        let output = NonBlockingWriter::start(written.clone()).unwrap();
        let guard = output.guard();
        let lines = FmtLayer { output, is_pretty, is_bold: false };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), work);
        drop(guard);
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn writes_valid_json_for_any_field() {
        let text = "\"quoted\" \\ and\nbroken \u{1}";
        let line = logged(false, || {
            tracing::info!(
                name: "an.event",
                { a.text = text, debug = ?text, n = -1, big = u64::MAX, x = 0.5, nan = f64::NAN, level = "theirs" },
                "said {text}"
            );
        });
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

    #[test]
    fn writes_readable_lines() {
        let line = logged(true, || tracing::warn!(name: "an.event", { n = 1, text = "x" }, "said"));
        let (time, rest) = line.split_at("00:00:00.000".len());
        assert!(time.bytes().all(|byte| b"0123456789:.".contains(&byte)), "{line}");
        assert_eq!(rest, "  WARN said n=1 text=x\n");
    }
}
