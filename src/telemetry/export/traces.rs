//! Spans, from the sources to the collector.

use std::{borrow::Cow, sync::OnceLock, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, Span as _, SpanKind, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor},
};

use super::{
    encoded::Encoded,
    protobuf,
    queue::{Batch, Queue, SendError, Sink},
    scope,
};

/// Few spans have more attributes. They come one after the other, and their memory need not grow with each.
const ATTRIBUTES: usize = 13;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// What makes spans, if the service traces. Spans that come with each request are made by it and
/// not through `tracing`, where they would cost three times as much.
#[must_use]
pub fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get()
}

/// `parent` with a new span in it, or as it is if the service does not trace. See [`start`].
pub fn begin<A: IntoIterator<Item = KeyValue>>(
    name: impl Into<Cow<'static, str>>,
    kind: SpanKind,
    links: Vec<Link>,
    parent: &Context,
    attributes: impl FnOnce() -> A,
) -> Context {
    match start(name, kind, links, parent, attributes) {
        Some(span) => parent.with_span(span),
        None => parent.clone(),
    }
}

/// A new span below `parent`, if the service traces. The attributes are made only for a span that is
/// recorded, or all but sure to be; no sampler decides by them.
pub fn start<A: IntoIterator<Item = KeyValue>>(
    name: impl Into<Cow<'static, str>>,
    kind: SpanKind,
    links: Vec<Link>,
    parent: &Context,
    attributes: impl FnOnce() -> A,
) -> Option<Span> {
    let tracer = tracer()?;
    let mut builder = tracer.span_builder(name).with_kind(kind).with_links(links);
    // Given along, they need not be added one by one.
    if parent.span().span_context().is_sampled() {
        let mut all = Vec::with_capacity(ATTRIBUTES);
        all.extend(attributes());
        builder.attributes = Some(all);
        return Some(builder.start_with_context(tracer, parent));
    }
    let mut span = builder.start_with_context(tracer, parent);
    if span.is_recording() {
        span.set_attributes(attributes());
    }
    Some(span)
}

/// Makes the process's tracer.
///
/// # Panics
/// If there is one already.
pub fn install(provider: &SdkTracerProvider) -> SdkTracer {
    let tracer = provider.tracer_with_scope(scope());
    TRACER.set(tracer.clone()).expect("telemetry starts once");
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
