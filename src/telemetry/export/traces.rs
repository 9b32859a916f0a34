//! Spans, from the sources to the collector.

use std::{sync::OnceLock, time::Duration};

use opentelemetry::{
    Context,
    trace::{Span as _, SpanBuilder, TraceContextExt, Tracer as _, TracerProvider},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor},
};

use super::{
    attributes::Attributes,
    encoded::Encoded,
    protobuf,
    queue::{Batch, Queue, SendError, Sink},
    scope,
    span::Tracer,
};

/// What makes spans. Those that come with each request are made by it and not through `tracing`,
/// where they would cost three times as much.
enum Maker {
    /// For a collector.
    Ours(Tracer),
    /// For the console, which is told of spans as the SDK has them; or for nothing.
    Sdk(SdkTracer),
}

static MAKER: OnceLock<Maker> = OnceLock::new();

/// Whether spans are made.
#[must_use]
pub fn are_made() -> bool {
    MAKER.get().is_some()
}

/// `parent` with a new span in it, or as it is if the service does not trace. The attributes are
/// asked for only if the span is recorded; no sampler decides by them.
pub fn begin(
    span: SpanBuilder,
    parent: &Context,
    attributes: impl FnOnce(&mut Attributes<'_>),
) -> Context {
    match MAKER.get() {
        Some(Maker::Ours(tracer)) => tracer.begin(span, parent, attributes),
        Some(Maker::Sdk(tracer)) => {
            let mut span = tracer.build_with_context(span, parent);
            if span.is_recording() {
                let mut all = Vec::new();
                attributes(&mut Attributes::Kept(&mut all));
                span.set_attributes(all);
            }
            parent.with_span(span)
        }
        None => parent.clone(),
    }
}

/// Makes the process's tracer, and that of spans that are made through `tracing`.
///
/// # Panics
/// If there is one already.
pub fn install(provider: &SdkTracerProvider, ours: Option<Tracer>) -> SdkTracer {
    let tracer = provider.tracer_with_scope(scope());
    let maker = ours.map_or_else(|| Maker::Sdk(tracer.clone()), Maker::Ours);
    assert!(MAKER.set(maker).is_ok(), "telemetry starts once");
    tracer
}

/// Takes spans that have ended.
pub trait Take {
    /// Queues a span.
    fn take(&self, span: SpanData);
}

impl Take for Queue<Encoded> {
    fn take(&self, span: SpanData) {
        let scope = &span.instrumentation_scope;
        self.encode(|to| to.scope(scope, scope.name()), |to| protobuf::span::write(to, &span));
    }
}

impl Take for Queue<Vec<SpanData>> {
    fn take(&self, span: SpanData) {
        self.push(span);
    }
}

impl<B: Batch> SpanProcessor for Queue<B>
where
    Self: Take,
{
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.take(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(Duration::from_secs(5))
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.close(timeout)
    }
}

/// Sends spans by any exporter.
pub struct Spans<E>(pub E);

impl<E: SpanExporter + 'static> Sink for Spans<E> {
    type Batch = Vec<SpanData>;

    async fn send(&self, batch: &mut Vec<SpanData>) -> Result<(), SendError> {
        Ok(self.0.export(std::mem::take(batch)).await?)
    }
}
