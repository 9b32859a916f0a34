//! Exports spans and log records of any OpenTelemetry program by OTLP: encoded where an item ends, in
//! bounded queues that count what they lose, on a thread of its own.
//!
//! ```no_run
//! use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
//! use otlp_export::{Counters, ExportRuntime, LogReport, OtlpOptions, Protocol, Queue, Sender, Signal, SpanBounds, SpanQueue};
//!
//! let options = OtlpOptions::new(Protocol::Http, "http://localhost:4318/v1/traces".parse()?);
//! let runtime = ExportRuntime::start()?;
//! let sender = Sender::new(&options, Signal::Spans, &Resource::builder().build())?;
//! let (queue, work) = Queue::new(Default::default(), Counters::spans(), LogReport::shared(), sender);
//! runtime.handle().spawn(work);
//! let limits = SpanBounds::default();
//! let builder = SpanQueue::new(queue, &limits).install(SdkTracerProvider::builder(), limits.counts);
//! let provider = builder.build(); // at the end: `provider.shutdown()`
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! | what | how |
//! |---|---|
//! | spans, encoded in `SpanProcessor::on_end` | [`SpanQueue`] |
//! | log records, from events of `tracing` | [`OtlpLogLayer`] |
//! | the same spans and records for a store in the process, sampled or not | [`SpanObserver`], [`RecordObserver`] |
//! | gRPC and HTTP, with TLS, compression, and retries by the protocol's rules | [`Sender`] |
//! | queues bounded by items and bytes | [`Queue`], [`QueueOptions`] |
//! | what became of each item | [`ExportStats`], and `otel.sdk.*` by the facade `metrics` ([`Counters`]) |
//! | a thread for exporters, which no blocked worker keeps from exporting | [`ExportRuntime`] |
//! | metrics: `opentelemetry-otlp`'s exporter, with the same options | [`MetricSender`] |
//! | any other exporter of the SDK behind the same queue | [`SpanSender`], [`LogSender`] |
//!
//! It has no code for a platform of its own. It is tested on Linux, and compiled for macOS.
//!
//! # Why not the SDK's processors
//!
//! The SDK's batch processors hand items as values to a thread that encodes them, and bound the number
//! of items, not their bytes. Encoded where they end, by the thread that has them in its cache, spans
//! cost a service 1.6 % of its CPU in place of 8.6 %; and a queue of bytes has a size that can be stated.

mod clock;
mod encoded;
mod limits;
mod logs;
mod metrics;
mod options;
mod protobuf;
mod queue;
mod report;
mod runtime;
mod sender;
mod spans;
mod text;

pub use self::{
    encoded::EncodedBatch,
    limits::{AttributeLimits, SpanBounds, cut},
    logs::{LogSender, OtlpLogLayer, Record, RecordObserver},
    metrics::MetricSender,
    options::{OtlpOptions, Protocol, QueueOptions, Tls},
    queue::{Batch, BatchExporter, Counters, ExportStats, Queue, SendError},
    report::{LogReport, Report},
    runtime::ExportRuntime,
    sender::{OtlpError, Sender, Signal},
    spans::{EnqueueSpan, SpanObserver, SpanQueue, SpanSender},
    text::{error_chain, event_name},
};
