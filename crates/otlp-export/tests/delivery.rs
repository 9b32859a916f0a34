//! What arrives at a receiver, by gRPC and HTTP, and what is counted when it does not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue,
    trace::{Span as _, Tracer, TracerProvider},
};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use otlp_export::{
    AttributeLimits, Counters, ExportRuntime, ExportStats, LogReport, OtlpLogLayer, OtlpOptions,
    Protocol, Queue, QueueOptions, Sender, Signal, SpanBounds, SpanQueue,
};
use testing::otlp::{Answer, Receiver};
use tracing_subscriber::layer::SubscriberExt;

const LIMIT: Duration = Duration::from_secs(20);

fn resource() -> Resource {
    Resource::builder_empty().with_attribute(KeyValue::new("service.name", "shop")).build()
}

fn options(protocol: Protocol, receiver: &Receiver, path: &str) -> OtlpOptions {
    let endpoint = match protocol {
        Protocol::Grpc => receiver.grpc(),
        Protocol::Http => receiver.http() + path,
    };
    OtlpOptions::new(protocol, endpoint.parse().expect("a URL"))
}

/// A program's traces.
struct Traces {
    provider: SdkTracerProvider,
    stats: Arc<ExportStats>,
    runtime: ExportRuntime,
}

impl Traces {
    fn start(options: &OtlpOptions, queue: QueueOptions) -> Self {
        let runtime = ExportRuntime::start().expect("a thread");
        let entered = runtime.handle().enter();
        let sender = Sender::new(options, Signal::Spans, &resource()).expect("usable options");
        let (queue, work) = Queue::new(queue, Counters::spans(), LogReport::shared(), sender);
        let _work = runtime.handle().spawn(work);
        drop(entered);
        let stats = queue.stats();
        let limits = SpanBounds::default();
        let builder = SdkTracerProvider::builder().with_resource(resource());
        let provider = SpanQueue::new(queue, &limits).install(builder, limits.counts).build();
        Self { provider, stats, runtime }
    }

    fn span(&self, name: &'static str) {
        self.provider.tracer("test").start(name).set_attribute(KeyValue::new("key", "value"));
    }

    /// How many were exported and how many lost.
    async fn end(self) -> (u64, u64) {
        let Self { provider, stats, runtime } = self;
        let end = move || {
            let _ = provider.shutdown_with_timeout(LIMIT);
            runtime.stop();
        };
        tokio::task::spawn_blocking(end).await.expect("it ends");
        (stats.exported(), stats.outstanding())
    }
}

async fn arrives(protocol: Protocol, gzip: bool) {
    let receiver = Receiver::start().await;
    let options = OtlpOptions { gzip, ..options(protocol, &receiver, "/v1/traces") };
    let traces = Traces::start(&options, QueueOptions::default());
    traces.span("first");
    traces.span("second");
    assert_eq!(traces.end().await, (2, 0));
    let spans = receiver.spans();
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["first", "second"]);
    let keys: Vec<_> = spans[0].attributes.iter().map(|attribute| &*attribute.key).collect();
    assert_eq!(keys, ["key"], "and no mark of the clock");
    assert_eq!(receiver.resources()[0].attributes[0].key, "service.name");
    let agent = &receiver.user_agents()[0];
    assert!(agent.starts_with("otlp-export/"), "{agent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_arrive_by_grpc() {
    arrives(Protocol::Grpc, false).await;
    arrives(Protocol::Grpc, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_arrive_by_http() {
    arrives(Protocol::Http, false).await;
    arrives(Protocol::Http, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_what_the_receiver_rejects() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let receiver = Receiver::start().await;
        receiver.answer(Answer::Reject(1));
        let traces =
            Traces::start(&options(protocol, &receiver, "/v1/traces"), QueueOptions::default());
        traces.span("taken");
        traces.span("rejected");
        assert_eq!(traces.end().await, (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_until_the_receiver_takes_it() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let receiver = Receiver::start().await;
        receiver.answer(Answer::Unavailable);
        let queue = QueueOptions { delay: Duration::from_millis(10), ..QueueOptions::default() };
        let traces = Traces::start(&options(protocol, &receiver, "/v1/traces"), queue);
        traces.span("late");
        receiver.wait("a second attempt", |receiver| receiver.requests() > 1).await;
        receiver.answer(Answer::Accept);
        receiver.wait("the span", |receiver| !receiver.spans().is_empty()).await;
        assert_eq!(traces.end().await, (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_retry_what_is_never_taken() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let receiver = Receiver::start().await;
        receiver.answer(Answer::Refuse);
        let traces =
            Traces::start(&options(protocol, &receiver, "/v1/traces"), QueueOptions::default());
        traces.span("refused");
        assert_eq!(traces.end().await, (0, 1));
        assert_eq!(receiver.requests(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drops_what_the_queue_has_no_room_for() {
    let receiver = Receiver::start().await;
    receiver.answer(Answer::Refuse);
    let hour = Duration::from_hours(1);
    let queue = QueueOptions { capacity: 3, delay: hour, ..QueueOptions::default() };
    let traces = Traces::start(&options(Protocol::Http, &receiver, "/v1/traces"), queue);
    for _ in 0..5 {
        traces.span("one of five");
    }
    receiver.answer(Answer::Accept);
    assert_eq!(traces.end().await, (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_in_time_where_nobody_listens() {
    let dead = OtlpOptions::new(Protocol::Grpc, "http://127.0.0.1:1".parse().expect("a URL"));
    let dead = OtlpOptions { timeout: Duration::from_millis(300), ..dead };
    let traces = Traces::start(&dead, QueueOptions::default());
    traces.span("lost");
    let started = Instant::now();
    assert_eq!(traces.end().await, (0, 1));
    assert!(started.elapsed() < LIMIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_records_name_the_current_span() {
    let receiver = Receiver::start().await;
    let runtime = ExportRuntime::start().expect("a thread");
    let options = options(Protocol::Http, &receiver, "/v1/logs");
    let sender = Sender::new(&options, Signal::Records, &resource()).expect("usable options");
    let counters = Counters::log_records();
    let (queue, work) = Queue::new(QueueOptions::default(), counters, LogReport::shared(), sender);
    let _work = runtime.handle().spawn(work);
    let layer = OtlpLogLayer::new(queue, AttributeLimits::NONE);
    let subscriber = tracing_subscriber::registry().with(layer.clone());
    let provider = SdkTracerProvider::builder().build();
    let trace = tracing::subscriber::with_default(subscriber, || {
        provider.tracer("test").in_span("outer", |context| {
            tracing::warn!(name: "stock.low", left = 2, "almost sold out");
            opentelemetry::trace::TraceContextExt::span(&context).span_context().trace_id()
        })
    });
    let shutdown = move || {
        layer.shutdown(LIMIT).expect("it is exported");
        runtime.stop();
    };
    tokio::task::spawn_blocking(shutdown).await.expect("it ends");
    let [record] = &receiver.records()[..] else { panic!("{:?}", receiver.records()) };
    assert_eq!((&*record.event_name, &*record.severity_text), ("stock.low", "WARN"));
    assert_eq!(record.trace_id, trace.to_bytes());
}
