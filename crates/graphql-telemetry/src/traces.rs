//! The process's tracer, and spans that are made directly and not through `tracing`.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanBuilder, TraceContextExt, Tracer as _, TracerProvider},
};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::resource::scope;

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

/// Makes the process's tracer, and returns it for spans that are made through `tracing`; none if there is
/// one already.
pub(crate) fn install(provider: &SdkTracerProvider) -> Option<SdkTracer> {
    let tracer = provider.tracer_with_scope(scope());
    TRACER.set(tracer.clone()).is_ok().then_some(tracer)
}

static PROPAGATES: AtomicBool = AtomicBool::new(true);

/// Sets whether traces of callers are continued.
pub(crate) fn set_propagation(propagates: bool) {
    PROPAGATES.store(propagates, Ordering::Relaxed);
}

/// Whether traces of callers are continued, as `OTEL_PROPAGATORS` has it.
pub(crate) fn propagates() -> bool {
    PROPAGATES.load(Ordering::Relaxed)
}
