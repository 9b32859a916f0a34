//! The process's tracer, and spans that are made directly and not through `tracing`.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use opentelemetry::{
    Context, KeyValue, SpanId, TraceId,
    trace::{Link, Span as _, SpanBuilder, SpanKind, TraceContextExt, Tracer as _, TracerProvider},
};
use opentelemetry_sdk::trace::{
    IdGenerator, SamplingDecision, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample,
};

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

/// Makes ids that nobody can guess from others: who knows those of a request may look at its trace. The
/// SDK's generator is not made for that (`SmallRng`).
#[derive(Debug)]
pub(crate) struct UnguessableIds;

impl IdGenerator for UnguessableIds {
    fn new_trace_id(&self) -> TraceId {
        TraceId::from(rand::random::<u128>())
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from(rand::random::<u64>())
    }
}

/// A sampler that has spans recorded which are not sampled, for a store in the process. They are not
/// exported, and their `sampled` flag is not set.
#[derive(Clone, Debug)]
pub(crate) struct RecordAll<S>(pub S);

impl<S: ShouldSample + Clone + 'static> ShouldSample for RecordAll<S> {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self.0.should_sample(parent, trace, name, kind, attributes, links);
        if result.decision == SamplingDecision::Drop {
            result.decision = SamplingDecision::RecordOnly;
        }
        result
    }
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
