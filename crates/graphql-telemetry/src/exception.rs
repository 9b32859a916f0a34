//! Exceptions, as the convention has them
//! (opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans): an event on the span where
//! the error arose, or a log record, or both.

use std::{
    any::type_name,
    backtrace::{Backtrace, BacktraceStatus},
    error::Error,
    sync::OnceLock,
};

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanRef, TraceContextExt},
};
use opentelemetry_semantic_conventions::attribute as attr;
use tracing::error;

/// Where exceptions are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExceptionSignal {
    /// As events of spans.
    #[default]
    Spans,
    /// As log records: `logs`.
    Logs,
    /// As both, for changing over: `logs/dup`.
    Both,
}

static SIGNAL: OnceLock<ExceptionSignal> = OnceLock::new();

/// Sets where exceptions are recorded, once for the process.
pub fn install(signal: ExceptionSignal) {
    let _ = SIGNAL.set(signal);
}

const EVENT: &str = "exception";

/// Records an error on the span where it arose. Its texts must not have secrets.
pub fn record<E: Error + 'static>(span: &SpanRef<'_>, error: &E) {
    let signal = SIGNAL.get().copied().unwrap_or_default();
    if signal == ExceptionSignal::Spans && !span.is_recording() {
        // A backtrace takes milliseconds, the first one a second.
        return;
    }
    let (kind, message, trace) = (type_name::<E>(), error.to_string(), stack_trace(error));
    if signal != ExceptionSignal::Spans {
        let _span =
            Context::current().with_remote_span_context(span.span_context().clone()).attach();
        error!(
            name: "exception",
            {
                exception.type = kind,
                exception.message = message,
                exception.stacktrace = trace
            },
            "exception"
        );
    }
    if signal != ExceptionSignal::Logs {
        let attributes = vec![
            KeyValue::new(attr::EXCEPTION_TYPE, kind),
            KeyValue::new(attr::EXCEPTION_MESSAGE, message),
            KeyValue::new(attr::EXCEPTION_STACKTRACE, trace),
        ];
        span.add_event(EVENT, attributes);
    }
}

/// The error with its sources, and the way here if `RUST_BACKTRACE` asks for it.
fn stack_trace(error: &(dyn Error + 'static)) -> String {
    let mut trace = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        trace.push_str("\ncaused by: ");
        trace.push_str(&error.to_string());
        source = error.source();
    }
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        trace.push_str(&format!("\n{backtrace}"));
    }
    trace
}
