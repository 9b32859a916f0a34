//! The process's tracer, and spans that are made directly and not through `tracing`.

use std::sync::OnceLock;

use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanBuilder, TraceContextExt, Tracer as _, TracerProvider},
};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use super::scope;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Whether spans are made.
#[must_use]
pub fn enabled() -> bool {
    TRACER.get().is_some()
}

/// Returns `parent` with a new span in it, or `parent` itself where nothing is traced. Its
/// `attributes` are made only if the span is recorded; no sampler decides by them.
///
/// For spans that come with each request: those of `tracing` cost three times as much.
pub fn start_span<A: IntoIterator<Item = KeyValue>>(
    span: SpanBuilder,
    parent: &Context,
    attributes: impl FnOnce() -> A,
) -> Context {
    let Some(tracer) = TRACER.get() else { return parent.clone() };
    let mut span = tracer.build_with_context(span, parent);
    if span.is_recording() {
        span.set_attributes(attributes());
    }
    parent.with_span(span)
}

/// Makes the process's tracer, and returns it for spans that are made through `tracing`.
///
/// # Panics
/// If there is one already.
pub fn install(provider: &SdkTracerProvider) -> SdkTracer {
    let tracer = provider.tracer_with_scope(scope());
    assert!(TRACER.set(tracer.clone()).is_ok(), "telemetry starts once");
    tracer
}
