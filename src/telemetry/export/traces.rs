//! Spans, from the sources to the collector.

use std::{borrow::Cow, sync::OnceLock, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, Span as _, SpanKind, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor},
};

use super::{
    queue::{Queue, Sink},
    scope,
};

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// What makes spans, if the service traces. Spans that come with each request are made by it and
/// not through `tracing`, where they would cost three times as much.
#[must_use]
pub fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get()
}

/// `parent` with a new span in it, or as it is if the service does not trace. The attributes are
/// made only for a span that is recorded, and so no sampler sees them.
pub fn begin<A: IntoIterator<Item = KeyValue>>(
    name: impl Into<Cow<'static, str>>,
    kind: SpanKind,
    links: Vec<Link>,
    parent: &Context,
    attributes: impl FnOnce() -> A,
) -> Context {
    let Some(tracer) = tracer() else { return parent.clone() };
    let builder = tracer.span_builder(name).with_kind(kind).with_links(links);
    let mut span = builder.start_with_context(tracer, parent);
    if span.is_recording() {
        span.set_attributes(attributes());
    }
    parent.with_span(span)
}

/// Makes the process's tracer. With no queue, trace ids are made, for answers and log lines, and
/// nothing is recorded.
///
/// # Panics
/// If there is one already.
pub fn install(
    queue: Option<Queue<SpanData>>,
    sampler: Sampler,
    resource: Resource,
) -> (SdkTracerProvider, SdkTracer) {
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let provider = match queue {
        Some(queue) => builder.with_sampler(sampler).with_span_processor(queue),
        None => builder.with_sampler(Sampler::AlwaysOff),
    }
    .build();
    let tracer = provider.tracer_with_scope(scope());
    TRACER.set(tracer.clone()).expect("telemetry starts once");
    (provider, tracer)
}

impl SpanProcessor for Queue<SpanData> {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.push(span);
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
    type Item = SpanData;

    async fn send(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.export(batch).await
    }
}
