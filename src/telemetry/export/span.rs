//! Spans that are written in the form in which they are sent, each attribute when it is set: what the
//! SDK's spans keep as values until they end, and hand from one hand to the next, costs more than all
//! else about them.

use std::{
    borrow::Cow,
    mem::take,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Event, Link, Span as SpanApi, SpanBuilder, SpanContext, SpanId, SpanKind, Status,
        TraceContextExt,
    },
};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SamplingDecision, ShouldSample, SpanEvents, SpanLinks,
};

use super::{
    attributes::{Attributes, Written, cut_value},
    encoded::Encoded,
    protobuf::{Writer, span::Frame},
    queue::Queue,
    scope,
    settings::SpanBounds,
};
use crate::telemetry::trace_context::CallerSampler;

/// Makes spans, and queues those that have ended.
#[derive(Debug)]
pub struct Tracer {
    sampler: CallerSampler,
    limits: SpanBounds,
    ids: RandomIdGenerator,
    queue: Queue<Encoded>,
    scope: Vec<u8>,
}

impl Tracer {
    /// With these settings, and this queue for what has ended.
    #[must_use]
    pub fn new(sampler: CallerSampler, limits: SpanBounds, queue: Queue<Encoded>) -> Self {
        let mut writer = Writer::default();
        let of = scope();
        writer.scope(&of, of.name());
        let scope = writer.written().to_vec();
        Self { sampler, limits, ids: RandomIdGenerator::default(), queue, scope }
    }

    /// `parent` with a new span in it, whose attributes are asked for only if it is recorded; no
    /// sampler decides by them.
    pub fn begin(
        &'static self,
        new: SpanBuilder,
        parent: &Context,
        attributes: impl FnOnce(&mut Attributes<'_>),
    ) -> Context {
        if parent.is_telemetry_suppressed() {
            // Not the parent itself: whoever ends this span would end that one.
            return parent.with_remote_span_context(SpanContext::NONE);
        }
        let SpanBuilder { name, span_kind, links, start_time, .. } = new;
        let (kind, links) = (span_kind.unwrap_or(SpanKind::Internal), links.unwrap_or_default());
        let above = parent.span();
        let above = above.span_context();
        let trace = if above.is_valid() { above.trace_id() } else { self.ids.new_trace_id() };
        let sampling = self.sampler.should_sample(Some(parent), trace, &name, &kind, &[], &links);
        let is_sampled = sampling.decision == SamplingDecision::RecordAndSample;
        let flags = above.trace_flags().with_sampled(is_sampled);
        let id = self.ids.new_span_id();
        let context = SpanContext::new(trace, id, flags, false, sampling.trace_state);
        if !is_sampled {
            // Known by its name only.
            return parent.with_remote_span_context(context);
        }
        let mut record = Record {
            parent: above.span_id(),
            has_remote_parent: above.is_valid() && above.is_remote(),
            kind,
            name,
            started: start_time.unwrap_or_else(SystemTime::now),
            clock: start_time
                .and_then(|it| Instant::now().checked_sub(ago(it)))
                .unwrap_or_else(Instant::now),
            attributes: Written::default(),
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
        };
        attributes(&mut record.attributes(&self.limits));
        for Link { span_context, attributes, .. } in links {
            record.link(&self.limits, span_context, attributes);
        }
        parent.with_span(Span { tracer: self, context, record: Some(record) })
    }
}

/// A span that is recorded.
#[derive(Debug)]
struct Span {
    tracer: &'static Tracer,
    context: SpanContext,
    /// Until it ends.
    record: Option<Record>,
}

#[derive(Debug)]
struct Record {
    parent: SpanId,
    has_remote_parent: bool,
    kind: SpanKind,
    name: Cow<'static, str>,
    started: SystemTime,
    /// When it started, by a clock that nobody sets.
    clock: Instant,
    attributes: Written,
    events: SpanEvents,
    links: SpanLinks,
    status: Status,
}

impl Record {
    const fn attributes(&mut self, limits: &SpanBounds) -> Attributes<'_> {
        Attributes::Written(&mut self.attributes, limits.attributes())
    }

    fn event(&mut self, limits: &SpanBounds, mut event: Event) {
        if self.events.len() < limits.counts.max_events_per_span as usize {
            event.dropped_attributes_count =
                truncate(&mut event.attributes, limits.counts.max_attributes_per_event, limits);
            self.events.events.push(event);
        } else {
            self.events.dropped_count += 1;
        }
    }

    fn link(&mut self, limits: &SpanBounds, to: SpanContext, mut attributes: Vec<KeyValue>) {
        if self.links.len() < limits.counts.max_links_per_span as usize {
            let dropped = truncate(&mut attributes, limits.counts.max_attributes_per_link, limits);
            self.links.links.push(Link::new(to, attributes, dropped));
        } else {
            self.links.dropped_count += 1;
        }
    }
}

/// How long ago a time was. What reads the wall clock for a time just before gives one that has
/// hardly been set meanwhile.
fn ago(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_default()
}

/// Cuts texts, and returns how many attributes were beyond the limit.
fn truncate(attributes: &mut Vec<KeyValue>, count: u32, limits: &SpanBounds) -> u32 {
    let dropped = attributes.len().saturating_sub(count as usize);
    attributes.truncate(count as usize);
    for attribute in attributes {
        if let Cow::Owned(cut) = cut_value(&attribute.value, limits.value_length) {
            attribute.value = cut;
        }
    }
    u32::try_from(dropped).unwrap_or(u32::MAX)
}

impl SpanApi for Span {
    fn add_event_with_timestamp<T: Into<Cow<'static, str>>>(
        &mut self,
        name: T,
        timestamp: SystemTime,
        attributes: Vec<KeyValue>,
    ) {
        if let Some(record) = &mut self.record {
            record.event(&self.tracer.limits, Event::new(name, timestamp, attributes, 0));
        }
    }

    fn span_context(&self) -> &SpanContext {
        &self.context
    }

    fn is_recording(&self) -> bool {
        self.record.is_some()
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        self.set_attributes([attribute]);
    }

    fn set_attributes(&mut self, attributes: impl IntoIterator<Item = KeyValue>) {
        if let Some(record) = &mut self.record {
            let mut to = record.attributes(&self.tracer.limits);
            attributes.into_iter().for_each(|attribute| to.add(&attribute));
        }
    }

    fn set_status(&mut self, status: Status) {
        // In the order of Unset, Error, Ok: what is said last counts only if it says more.
        if let Some(record) = self.record.as_mut().filter(|record| status > record.status) {
            record.status = status;
        }
    }

    fn update_name<T: Into<Cow<'static, str>>>(&mut self, name: T) {
        if let Some(record) = &mut self.record {
            record.name = name.into();
        }
    }

    fn add_link(&mut self, to: SpanContext, attributes: Vec<KeyValue>) {
        if let Some(record) = &mut self.record {
            record.link(&self.tracer.limits, to, attributes);
        }
    }

    /// The wall clock may have been set since the start, by NTP or by hand: what counts is the time
    /// that has passed.
    fn end_with_timestamp(&mut self, ended: SystemTime) {
        let Some(mut record) = self.record.take() else { return };
        let ended = record.started + record.clock.elapsed().saturating_sub(ago(ended));
        let mut item = take(&mut record.attributes.fields);
        let frame = Frame {
            context: &self.context,
            parent: record.parent,
            has_remote_parent: record.has_remote_parent,
            kind: &record.kind,
            name: &record.name,
            times: (record.started, ended),
            dropped_attributes: record.attributes.dropped,
            events: &record.events,
            links: &record.links,
            status: &record.status,
        };
        frame.write(&mut item);
        self.tracer.queue.push_written(&self.tracer.scope, item);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::{Duration, UNIX_EPOCH},
    };

    use opentelemetry::trace::{TraceFlags, Tracer as _, TracerProvider};
    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest, trace::v1 as proto,
    };
    use opentelemetry_sdk::{
        Resource,
        error::OTelSdkResult,
        trace::{Sampler, SdkTracerProvider, SpanData, SpanLimits, SpanProcessor},
    };
    use prost::Message as _;

    use super::*;
    use crate::telemetry::{
        export::{
            encoded::Envelope,
            queue::{Counters, SendError, Sink},
            runtime::ExportRuntime,
            settings::QueueSettings,
        },
        names::{SPANS_EXPORTED, SPANS_PROCESSED},
    };

    const LIMIT: Duration = Duration::from_secs(5);

    /// Few, so that there is too much of each.
    fn limits() -> SpanLimits {
        SpanLimits {
            max_attributes_per_span: 3,
            max_events_per_span: 1,
            max_links_per_span: 1,
            max_attributes_per_event: 1,
            max_attributes_per_link: 1,
        }
    }

    /// Decodes what is sent.
    #[derive(Clone, Default)]
    struct Decode(Arc<Mutex<Vec<proto::Span>>>);

    impl Sink for Decode {
        type Batch = Encoded;

        async fn send(&self, batch: &mut Encoded) -> Result<(), SendError> {
            let request = Envelope::new(&Resource::builder_empty().build()).around(batch).whole();
            let request = ExportTraceServiceRequest::decode(request).unwrap();
            let spans = request.resource_spans.into_iter().flat_map(|all| all.scope_spans);
            self.0.lock().unwrap().extend(spans.flat_map(|all| all.spans));
            Ok(())
        }
    }

    /// What the work made of spans, as they are sent.
    fn sent(sampler: Sampler, work: impl FnOnce(&'static Tracer)) -> Vec<proto::Span> {
        let settings = QueueSettings {
            capacity: 10,
            bytes: 1 << 20,
            batch: 10,
            batch_bytes: 1 << 20,
            delay: Duration::from_hours(1),
            timeout: LIMIT,
        };
        let counters = Counters::new(&SPANS_PROCESSED, &SPANS_EXPORTED);
        let decoded = Decode::default();
        let (queue, exporter) = Queue::new(settings, counters, Arc::default(), decoded.clone());
        let runtime = ExportRuntime::start().unwrap();
        runtime.handle().spawn(exporter);
        let sampler = CallerSampler { sampler, trust: true };
        let bounds = SpanBounds { counts: limits(), value_length: 64 };
        work(Box::leak(Box::new(Tracer::new(sampler, bounds, queue.clone()))));
        queue.close(LIMIT).unwrap();
        runtime.stop();
        std::mem::take(&mut *decoded.0.lock().unwrap())
    }

    /// Keeps what the SDK makes of spans.
    #[derive(Clone, Debug, Default)]
    struct Keep(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Keep {
        fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().unwrap().push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    fn remote(flags: TraceFlags) -> SpanContext {
        SpanContext::new(1.into(), 2.into(), flags, true, "a=b".parse().unwrap())
    }

    fn span() -> SpanBuilder {
        let link =
            |key| Link::new(remote(TraceFlags::SAMPLED), vec![key, KeyValue::new("x", 1)], 0);
        SpanBuilder::from_name("first")
            .with_kind(SpanKind::Client)
            .with_start_time(UNIX_EPOCH + Duration::from_secs(1))
            .with_links(vec![link(KeyValue::new("one", 1)), link(KeyValue::new("two", 2))])
    }

    /// Says all that can be said of a span, and of each too much.
    fn say(context: &Context) {
        let span = context.span();
        assert!(span.is_recording());
        span.update_name("second");
        span.set_status(Status::error("wrong"));
        span.set_status(Status::Unset);
        span.set_attribute(KeyValue::new("number", 0.5));
        span.set_attributes([KeyValue::new("flag", true), KeyValue::new("beyond", 4)]);
        for name in ["exception", "another"] {
            let attributes = vec![KeyValue::new("kept", name), KeyValue::new("beyond", 2)];
            span.add_event_with_timestamp(name, UNIX_EPOCH + Duration::from_secs(2), attributes);
        }
        span.add_link(remote(TraceFlags::NOT_SAMPLED), Vec::new());
        span.end_with_timestamp(UNIX_EPOCH + Duration::from_secs(3));
        span.set_attribute(KeyValue::new("late", 1));
        assert!(!span.is_recording());
    }

    #[test]
    fn a_span_says_what_one_of_the_sdk_does() {
        let parent = Context::new().with_remote_span_context(remote(TraceFlags::SAMPLED));
        let first = KeyValue::new("first", "text");
        let [ours] = &mut *sent(Sampler::AlwaysOn, |tracer| {
            say(&tracer.begin(span(), &parent, |to| to.text("first", "text")));
        }) else {
            panic!("one span")
        };

        let keep = Keep::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_span_limits(limits())
            .with_span_processor(keep.clone())
            .build();
        let builder = span().with_attributes([first]);
        say(&parent.with_span(provider.tracer("").build_with_context(builder, &parent)));
        let mut sdks = proto::Span::from(keep.0.lock().unwrap().remove(0));
        assert_eq!(sdks.span_id.len(), ours.span_id.len());
        sdks.span_id = ours.span_id.clone();
        // By the monotonic clock, and so not to the nanosecond.
        assert!(sdks.end_time_unix_nano.abs_diff(ours.end_time_unix_nano) < 100_000_000);
        sdks.end_time_unix_nano = ours.end_time_unix_nano;
        // In which order they are says nothing.
        ours.attributes.reverse();
        assert_eq!(*ours, sdks);
        assert_eq!((ours.dropped_attributes_count, ours.dropped_events_count), (1, 1));
        assert_eq!(ours.dropped_links_count, 2);
    }

    #[test]
    fn what_is_not_sampled_has_a_name_and_asks_for_nothing() {
        let spans = sent(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)), |tracer| {
            let context = tracer.begin(span(), &Context::new(), |_| panic!("nobody reads them"));
            let root = context.span().span_context().clone();
            assert!(root.is_valid() && !root.is_sampled() && !context.span().is_recording());
            let below = tracer.begin(span(), &context, |_| panic!("nobody reads them"));
            assert_eq!(below.span().span_context().trace_id(), root.trace_id());
            assert_ne!(below.span().span_context().span_id(), root.span_id());
            let sampled = Context::new().with_remote_span_context(remote(TraceFlags::SAMPLED));
            // Ends when it is dropped.
            drop(tracer.begin(span(), &sampled, |_| {}));
        });
        let [span] = &*spans else { panic!("{spans:?}") };
        assert_eq!((&*span.parent_span_id, &*span.trace_state), (&2_u64.to_be_bytes()[..], "a=b"));
        assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    }

    #[test]
    fn where_telemetry_is_suppressed_there_is_no_span_and_its_parent_goes_on() {
        let spans = sent(Sampler::AlwaysOn, |tracer| {
            let parent = tracer.begin(span(), &Context::new(), |_| {});
            let suppressed = parent.with_telemetry_suppressed();
            let context = tracer.begin(span(), &suppressed, |_| panic!("nobody reads them"));
            context.span().end();
            assert!(!context.span().span_context().is_valid());
            assert!(parent.span().is_recording());
        });
        assert_eq!(spans.len(), 1);
    }

    #[test]
    fn attributes_of_many_spans_keep_to_the_limit() {
        use crate::telemetry::export::attributes::Fixed;
        let two = Fixed::new(vec![KeyValue::new("a", 1), KeyValue::new("b", "two")]);
        let spans = sent(Sampler::AlwaysOn, |tracer| {
            drop(tracer.begin(span(), &Context::new(), |to| {
                to.fixed(&two);
                to.fixed(&two);
            }));
        });
        let [span] = &*spans else { panic!("{spans:?}") };
        let keys: Vec<_> = span.attributes.iter().rev().map(|attribute| &*attribute.key).collect();
        assert_eq!((keys, span.dropped_attributes_count), (vec!["a", "b", "a"], 1));
    }

    #[test]
    fn cuts_texts_of_spans_events_and_links() {
        use crate::telemetry::export::attributes::Fixed;
        let long = || "ö".repeat(100);
        let fixed = Fixed::new(vec![KeyValue::new("fixed", long())]);
        let spans = sent(Sampler::AlwaysOn, |tracer| {
            let context = tracer.begin(span(), &Context::new(), |to| {
                to.fixed(&fixed);
                to.text("text", &long());
            });
            let span = context.span();
            span.set_attribute(KeyValue::new("late", long()));
            span.add_event("event", vec![KeyValue::new("of event", long())]);
        });
        let [span] = &*spans else { panic!("{spans:?}") };
        let texts = span.attributes.iter().chain(&span.events[0].attributes);
        let texts: Vec<_> = texts.map(|it| format!("{:?}", it.value)).collect();
        assert_eq!(texts.len(), 4);
        assert!(texts.iter().all(|text| text.matches('ö').count() == 64), "{texts:?}");
    }
}
