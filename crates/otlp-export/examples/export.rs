//! Sends a span and a log line to a collector, and says what became of them.
//!
//! `cargo run --example export -- http://localhost:4318`

use std::{env::args, error::Error, time::Duration};

use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use otlp_export::{
    AttributeLimits, Counters, ExportRuntime, LogReport, OtlpLogLayer, OtlpOptions, Protocol,
    Queue, QueueOptions, Sender, Signal, SpanBounds, SpanQueue,
};
use tracing::info;
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

fn main() -> Result<(), Box<dyn Error>> {
    let collector = args().nth(1).unwrap_or_else(|| "http://localhost:4318".to_owned());
    let resource = Resource::builder().with_service_name("example").build();
    let report = LogReport::shared();
    let runtime = ExportRuntime::start()?;
    let to = |path: &str| {
        Ok::<_, Box<dyn Error>>(OtlpOptions::new(
            Protocol::Http,
            format!("{collector}{path}").parse()?,
        ))
    };

    let sender = Sender::new(&to("/v1/traces")?, Signal::Spans, &resource)?;
    let (queue, work) =
        Queue::new(QueueOptions::default(), Counters::spans(), report.clone(), sender);
    let _spans = runtime.handle().spawn(work);
    let (limits, spans) = (SpanBounds::default(), queue.stats());
    let builder =
        SpanQueue::new(queue, &limits).install(SdkTracerProvider::builder(), limits.counts);
    let provider = builder.build();

    let sender = Sender::new(&to("/v1/logs")?, Signal::Records, &resource)?;
    let (queue, work) =
        Queue::new(QueueOptions::default(), Counters::log_records(), report, sender);
    let _records = runtime.handle().spawn(work);
    let (records, layer) = (queue.stats(), OtlpLogLayer::new(queue, AttributeLimits::NONE));
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(tracing_subscriber::fmt::layer())
        .with(layer.clone())
        .init();

    provider.tracer("example").in_span("hello", |_| info!("a log line in a span"));

    let limit = Duration::from_secs(5);
    let (traces, logs) = (provider.shutdown_with_timeout(limit), layer.shutdown(limit));
    runtime.stop();
    println!("spans: {} exported, {} lost, {traces:?}", spans.exported(), spans.outstanding());
    println!(
        "log records: {} exported, {} lost, {logs:?}",
        records.exported(),
        records.outstanding()
    );
    Ok(())
}
