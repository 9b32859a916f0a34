//! Events of `tracing` as log records.
//!
//! Our own layer and not `opentelemetry-appender-tracing`, which makes a record of values first: with a
//! line for each request, that was 2.4 % of a service's CPU. Can go when the SDK encodes them where they
//! are made.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, InstrumentationScope,
    logs::LogRecord as _,
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter, LogProcessor, SdkLogRecord},
};
use opentelemetry_semantic_conventions::attribute::EXCEPTION_MESSAGE;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer};

use crate::{
    encoded::{EncodedBatch, encode},
    limits::{AttributeLimits, cut},
    protobuf::Writer,
    queue::{BatchExporter, Queue, SendError},
    text::{error_chain, event_name},
};

/// The field of `LogRecord` that holds attributes.
const ATTRIBUTES: u8 = 6;

/// Receives each log record that belongs to a trace, where it is made.
pub trait RecordObserver: Send + Sync {
    /// `encoded` is the record of `span`'s trace as field 2 of OTLP's `ScopeLogs`. Called on the thread that
    /// logs, which must not be blocked.
    fn on_record(&self, span: &SpanContext, encoded: &[u8]);
}

/// Queues events as log records. Clones share the queue.
#[derive(Clone)]
pub struct OtlpLogLayer {
    /// None if nothing is exported.
    queue: Option<Queue<EncodedBatch>>,
    observer: Option<Arc<dyn RecordObserver>>,
    limits: AttributeLimits,
}

impl OtlpLogLayer {
    /// Queues records within these limits.
    #[must_use]
    pub const fn new(queue: Queue<EncodedBatch>, limits: AttributeLimits) -> Self {
        Self { queue: Some(queue), observer: None, limits }
    }

    /// Exports nothing, and hands the records of traces to `observer` within these limits.
    #[must_use]
    pub const fn observe_only(observer: Arc<dyn RecordObserver>, limits: AttributeLimits) -> Self {
        Self { queue: None, observer: Some(observer), limits }
    }

    /// Hands the records of traces to `observer`, too.
    #[must_use]
    pub fn with_observer(mut self, observer: Option<Arc<dyn RecordObserver>>) -> Self {
        self.observer = observer;
        self
    }

    /// Exports what is queued, and takes no more.
    ///
    /// # Errors
    /// If not all could be exported within `timeout`.
    pub fn shutdown(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.as_ref().map_or(Ok(()), |queue| queue.close(timeout))
    }
}

impl<S: Subscriber> Layer<S> for OtlpLogLayer {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        if Context::is_current_telemetry_suppressed() {
            return;
        }
        let span = Context::map_current(|context| context.span().span_context().clone());
        let observer = self.observer.as_ref().filter(|_| span.is_valid());
        if observer.is_none() && self.queue.is_none() {
            return;
        }
        let target = event.metadata().target();
        let scope = |to: &mut Writer| to.message(1, |inner| inner.text(1, target));
        let record = |to: &mut Writer| write(to, event, &span, SystemTime::now(), self.limits);
        encode(scope, record, |item| {
            if let Some(observer) = observer {
                observer.on_record(&span, item.encoded());
            }
            if let Some(queue) = &self.queue {
                queue.push(item);
            }
        });
    }
}

/// The content of a `LogRecord`.
fn write(
    to: &mut Writer,
    event: &Event<'_>,
    span: &SpanContext,
    now: SystemTime,
    limits: AttributeLimits,
) {
    let metadata = event.metadata();
    if let Some(name) = event_name(metadata.name()) {
        to.text(12, name);
    }
    to.time(11, now);
    if span.is_valid() {
        to.id(10, span.span_id().to_bytes());
        to.id(9, span.trace_id().to_bytes());
        to.flags(8, span.trace_flags().to_u8().into());
    }
    let mut fields = Fields { to, limits, count: 0 };
    event.record(&mut fields);
    let dropped = fields.count.saturating_sub(limits.count);
    to.count(7, dropped);
    to.text(3, metadata.level().as_str());
    to.count(2, severity(*metadata.level()));
}

/// As the data model numbers them (opentelemetry.io/docs/specs/otel/logs/data-model).
const fn severity(level: Level) -> u32 {
    match level {
        Level::TRACE => 1,
        Level::DEBUG => 5,
        Level::INFO => 9,
        Level::WARN => 13,
        Level::ERROR => 17,
    }
}

/// Writes an event's fields: its message as the body, and the others as attributes.
struct Fields<'a> {
    to: &'a mut Writer,
    limits: AttributeLimits,
    /// The attributes, with those that are beyond the limit.
    count: u32,
}

impl Fields<'_> {
    fn attribute(&mut self, name: &str, write: impl FnOnce(&mut Writer)) {
        if self.count < self.limits.count {
            self.to.attribute(ATTRIBUTES, name, write);
        }
        self.count += 1;
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let value = cut(value, self.limits.length);
        match field.name() {
            "message" => self.to.message(5, |body| body.string(value)),
            name => self.attribute(name, |to| to.string(value)),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attribute(field.name(), |to| to.boolean(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attribute(field.name(), |to| to.float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attribute(field.name(), |to| to.integer(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // OTLP has no larger ones.
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.record_debug(field, &value),
        }
    }

    fn record_error(&mut self, _: &Field, error: &(dyn Error + 'static)) {
        let text = error_chain(error);
        let text = cut(&text, self.limits.length);
        self.attribute(EXCEPTION_MESSAGE, |to| to.string(text));
    }
}

/// A log record of the SDK that waits for its export.
pub type Record = Box<(SdkLogRecord, InstrumentationScope)>;

impl LogProcessor for Queue<Vec<Record>> {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        let mut record = record.clone();
        if let Some(name) = record.event_name() {
            record.set_event_name(event_name(name).unwrap_or_default());
        }
        self.push(Box::new((record, scope.clone())));
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(Duration::from_secs(5))
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.close(timeout)
    }
}

/// Sends log records by any exporter of the SDK.
pub struct LogSender<E>(pub E);

impl<E: LogExporter + 'static> BatchExporter for LogSender<E> {
    type Batch = Vec<Record>;

    async fn send(&self, batch: &mut Vec<Record>) -> Result<(), SendError> {
        let records: Vec<_> = batch.iter().map(|item| (&item.0, &item.1)).collect();
        Ok(self.0.export(LogBatch::new(&records)).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex, time::UNIX_EPOCH};

    use opentelemetry::trace::{TraceFlags, TraceState};
    use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
    use opentelemetry_proto::tonic::logs::v1 as proto;
    use opentelemetry_sdk::logs::SdkLoggerProvider;
    use prost::Message;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::{options::QueueOptions, queue::Counters, report::LogReport};

    /// Keeps what is made of an event, here and by the SDK.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<proto::LogRecord>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
            let mut writer = Writer::default();
            let span = Context::map_current(|context| context.span().span_context().clone());
            let now = UNIX_EPOCH + Duration::from_nanos(7);
            write(&mut writer, event, &span, now, AttributeLimits::NONE);
            let mut decoded = proto::LogRecord::decode(writer.written()).unwrap();
            // In which order they are says nothing.
            decoded.attributes.reverse();
            self.0.lock().unwrap().push(decoded);
        }
    }

    impl LogProcessor for Kept {
        fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
            let mut record = proto::LogRecord::from(&*record);
            record.observed_time_unix_nano = 7;
            self.0.lock().unwrap().push(record);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    /// What `work` logs, as made here and by the SDK.
    fn made(work: impl FnOnce()) -> [Vec<proto::LogRecord>; 2] {
        let (ours, sdks) = (Kept::default(), Kept::default());
        let provider = SdkLoggerProvider::builder().with_log_processor(sdks.clone()).build();
        let both = tracing_subscriber::registry()
            .with(ours.clone())
            .with(OpenTelemetryTracingBridge::new(&provider));
        tracing::subscriber::with_default(both, work);
        [ours, sdks].map(|kept| std::mem::take(&mut *kept.0.lock().unwrap()))
    }

    #[test]
    fn it_is_what_opentelemetry_makes_of_it() {
        let span =
            SpanContext::new(5.into(), 6.into(), TraceFlags::SAMPLED, false, TraceState::NONE);
        let [ours, sdks] = made(|| {
            tracing::error!(
                name: "an.event",
                { text = "x", long = "x".repeat(200), empty = "", debug = ?Some(1), yes = true },
                "said {}", "so"
            );
            let _attached = Context::new().with_remote_span_context(span).attach();
            let gone = io::Error::other("gone");
            tracing::warn!(name: "numbers", n = -1, big = u64::MAX, small = 1_u64, x = 0.5, error = &gone as &dyn Error);
            tracing::debug!(name: "plain", message = "a field");
            tracing::trace!(name: "silent", "");
        });
        assert_eq!(ours.len(), 4);
        assert_eq!(ours, sdks);
        assert_eq!((&*ours[1].trace_id, ours[1].flags), (&5_u128.to_be_bytes()[..], 1));
    }

    /// Sends nothing.
    struct Nowhere;

    impl BatchExporter for Nowhere {
        type Batch = EncodedBatch;

        async fn send(&self, _: &mut EncodedBatch) -> Result<(), SendError> {
            Ok(())
        }
    }

    #[test]
    fn where_telemetry_is_suppressed_there_is_no_record() {
        let hour = Duration::from_hours(1);
        let settings = QueueOptions {
            capacity: 9,
            bytes: 1 << 20,
            batch: 9,
            batch_bytes: 1 << 20,
            delay: hour,
            timeout: hour,
        };
        let counters = Counters::log_records();
        let (queue, _) = Queue::new(settings, counters, LogReport::shared(), Nowhere);
        let outcome = queue.stats();
        let layer =
            tracing_subscriber::registry().with(OtlpLogLayer::new(queue, AttributeLimits::NONE));
        tracing::subscriber::with_default(layer, || {
            let suppressed = Context::enter_telemetry_suppressed_scope();
            tracing::info!("of an exporter");
            drop(suppressed);
            assert_eq!(outcome.outstanding(), 0);
            tracing::info!("of the service");
        });
        assert_eq!(outcome.outstanding(), 1);
    }

    /// Decodes what is observed.
    #[derive(Default)]
    struct Observed(Mutex<Vec<proto::LogRecord>>);

    impl RecordObserver for Observed {
        fn on_record(&self, span: &SpanContext, encoded: &[u8]) {
            let decoded = proto::ScopeLogs::decode(encoded).unwrap().log_records;
            assert_eq!(decoded[0].trace_id, span.trace_id().to_bytes());
            self.0.lock().unwrap().extend(decoded);
        }
    }

    #[test]
    fn hands_the_records_of_traces_to_the_observer() {
        let observed = Arc::new(Observed::default());
        let layer = OtlpLogLayer::observe_only(observed.clone(), AttributeLimits::NONE);
        let layer = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(layer, || {
            tracing::info!("of no trace");
            let span = SpanContext::new(
                5.into(),
                6.into(),
                TraceFlags::default(),
                false,
                TraceState::NONE,
            );
            let _attached = Context::new().with_remote_span_context(span).attach();
            tracing::info!(name: "an.event", "of a trace");
        });
        let observed = observed.0.lock().unwrap();
        let names: Vec<_> = observed.iter().map(|record| &*record.event_name).collect();
        assert_eq!(names, ["an.event"]);
    }

    #[test]
    fn an_event_without_a_name_is_not_called_after_its_place() {
        let [ours, sdks] = made(|| tracing::info!("said"));
        assert!(sdks[0].event_name.starts_with("event "));
        assert_eq!(ours[0].event_name, "");
    }
}
