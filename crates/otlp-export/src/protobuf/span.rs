//! Spans.

use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceState};
use opentelemetry_sdk::trace::SpanData;

use super::Writer;

/// The flag that says that the next one means something, and the one that says that the parent, or
/// what a link leads to, is of another process.
const KNOWS_REMOTE: u32 = 0x100;
const REMOTE: u32 = 0x200;

/// The content of a `Span`.
pub fn write(to: &mut Writer, span: &SpanData) {
    let context = &span.span_context;
    to.flags(16, flags(context, span.parent_span_is_remote));
    if span.status != Status::Unset {
        to.message(15, |inner| status(inner, &span.status));
    }
    to.count(14, span.links.dropped_count);
    for one in span.links.iter().rev() {
        to.message(13, |inner| link(inner, one));
    }
    to.count(12, span.events.dropped_count);
    for one in span.events.iter().rev() {
        to.message(11, |inner| event(inner, one));
    }
    to.count(10, span.dropped_attributes_count);
    to.attributes(9, span.attributes.iter());
    to.time(8, span.end_time);
    to.time(7, span.start_time);
    to.number(6, kind(&span.span_kind));
    to.text(5, &span.name);
    if span.parent_span_id != SpanId::INVALID {
        to.id(4, span.parent_span_id.to_bytes());
    }
    place(to, context);
}

/// The first three fields of spans and links.
fn place(to: &mut Writer, context: &SpanContext) {
    if *context.trace_state() != TraceState::NONE {
        to.text(3, &context.trace_state().header());
    }
    to.id(2, context.span_id().to_bytes());
    to.id(1, context.trace_id().to_bytes());
}

fn flags(context: &SpanContext, is_remote: bool) -> u32 {
    let remote = if is_remote { REMOTE } else { 0 };
    u32::from(context.trace_flags().to_u8()) | KNOWS_REMOTE | remote
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn status(to: &mut Writer, status: &Status) {
    match status {
        Status::Unset => {}
        Status::Ok => to.number(3, 1),
        Status::Error { description } => {
            to.number(3, 2);
            to.text(2, description);
        }
    }
}

fn event(to: &mut Writer, event: &Event) {
    to.count(4, event.dropped_attributes_count);
    to.attributes(3, event.attributes.iter());
    to.text(2, &event.name);
    to.time(1, event.timestamp);
}

fn link(to: &mut Writer, link: &Link) {
    let context = &link.span_context;
    to.flags(6, flags(context, context.is_remote()));
    to.count(5, link.dropped_attributes_count);
    to.attributes(4, link.attributes.iter());
    place(to, context);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use opentelemetry::{
        Array, InstrumentationScope, KeyValue, Value,
        trace::{TraceFlags, TraceState},
    };
    use opentelemetry_proto::tonic::trace::v1 as proto;
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
    use proptest::{collection::vec, prelude::*};
    use prost::Message;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,300}".prop_map(Value::from),
            vec(any::<bool>(), 0..3).prop_map(|values| Value::Array(Array::Bool(values))),
            vec(any::<i64>(), 0..3).prop_map(|values| Value::Array(Array::I64(values))),
            vec(any::<f64>(), 0..3).prop_map(|values| Value::Array(Array::F64(values))),
            vec(".{0,5}".prop_map(Into::into), 0..3)
                .prop_map(|values| Value::Array(Array::String(values))),
        ]
    }

    fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
        vec(("[a-z.]{0,9}", value()).prop_map(|(key, value)| KeyValue::new(key, value)), 0..4)
    }

    fn context() -> impl Strategy<Value = SpanContext> {
        let state = vec(("[a-z]{1,5}", "[a-z]{1,5}"), 0..3)
            .prop_map(|pairs| TraceState::from_key_value(pairs).unwrap_or_default());
        (any::<u128>(), any::<u64>(), any::<u8>(), any::<bool>(), state).prop_map(
            |(trace, span, flags, is_remote, state)| {
                let flags = TraceFlags::new(flags);
                SpanContext::new(trace.into(), span.into(), flags, is_remote, state)
            },
        )
    }

    fn kind() -> impl Strategy<Value = SpanKind> {
        prop_oneof![
            Just(SpanKind::Client),
            Just(SpanKind::Consumer),
            Just(SpanKind::Internal),
            Just(SpanKind::Producer),
            Just(SpanKind::Server),
        ]
    }

    fn status() -> impl Strategy<Value = Status> {
        prop_oneof![Just(Status::Unset), Just(Status::Ok), ".{0,9}".prop_map(Status::error),]
    }

    fn events() -> impl Strategy<Value = SpanEvents> {
        let event = (".{0,9}", 0..u64::MAX, attributes(), 0..3_u32).prop_map(
            |(name, time, attributes, dropped)| {
                Event::new(name, UNIX_EPOCH + Duration::from_nanos(time), attributes, dropped)
            },
        );
        (vec(event, 0..3), any::<u32>()).prop_map(|(list, dropped_count)| {
            let mut events = SpanEvents::default();
            (events.events, events.dropped_count) = (list, dropped_count);
            events
        })
    }

    fn links() -> impl Strategy<Value = SpanLinks> {
        let link = (context(), attributes(), 0..3_u32)
            .prop_map(|(context, attributes, dropped)| Link::new(context, attributes, dropped));
        (vec(link, 0..3), any::<u32>()).prop_map(|(list, dropped_count)| {
            let mut links = SpanLinks::default();
            (links.links, links.dropped_count) = (list, dropped_count);
            links
        })
    }

    prop_compose! {
        fn span()(
            span_context in context(),
            parent in prop_oneof![Just(0), any::<u64>()],
            parent_span_is_remote in any::<bool>(),
            span_kind in kind(),
            name in ".{0,9}",
            (start, end) in (any::<u64>(), any::<u64>()),
            attributes in attributes(),
            dropped_attributes_count in 0..3_u32,
            events in events(),
            links in links(),
            status in status(),
        ) -> SpanData {
            SpanData {
                span_context,
                parent_span_id: parent.into(),
                parent_span_is_remote,
                span_kind,
                name: name.into(),
                start_time: UNIX_EPOCH + Duration::from_nanos(start),
                end_time: UNIX_EPOCH + Duration::from_nanos(end),
                attributes,
                dropped_attributes_count,
                events,
                links,
                status,
                instrumentation_scope: InstrumentationScope::default(),
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_what_opentelemetry_makes_of_it(span in span()) {
            let mut writer = Writer::default();
            write(&mut writer, &span);
            let mut expected = proto::Span::from(span);
            expected.status = expected.status.filter(|status| *status != proto::Status::default());
            let decoded = proto::Span::decode(writer.written()).unwrap();
            // The bytes, since one NaN is not another.
            prop_assert_eq!(decoded.encode_to_vec(), expected.encode_to_vec());
        }
    }
}
