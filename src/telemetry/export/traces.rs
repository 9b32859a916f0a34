//! Spans, from the sources to the collector.

use std::{sync::OnceLock, time::Duration};

use opentelemetry::{Context, trace::TracerProvider};
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

/// What makes spans, if the service traces. For spans below `Context::current()` that no log line
/// needs to hang on; through `tracing` they would cost three times as much.
#[must_use]
pub fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get()
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
