use std::{collections::HashSet, sync::Arc, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, TraceContextExt, TraceFlags, TraceState, Tracer, TracerProvider},
};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use otlp_export::{SpanBounds, SpanQueue};

use super::*;
use crate::{attribute, traces::RecordAll};

/// A store of so many bytes, and a tracer that samples nothing.
fn store(bytes: usize) -> (TraceStore, SdkTracer) {
    let store = TraceStore::new(TraceStoreOptions { bytes, backend_url: None });
    let limits = SpanBounds::default();
    let queue = SpanQueue::observe_only(Arc::new(store.clone()), &limits);
    let builder = SdkTracerProvider::builder().with_sampler(RecordAll(Sampler::AlwaysOff));
    let provider = queue.install(builder, limits.counts).build();
    (store, provider.tracer("test"))
}

/// An operation that took `milliseconds`, below a request. Returns the request's span.
fn operation(
    tracer: &SdkTracer,
    parent: &Context,
    root_field: &'static str,
    milliseconds: u64,
    more: Vec<KeyValue>,
) -> SpanContext {
    let start = |name: &'static str, parent: &Context| {
        let started = std::time::SystemTime::now() - Duration::from_millis(milliseconds);
        let span = SpanBuilder::from_name(name).with_start_time(started);
        parent.with_span(tracer.build_with_context(span, parent))
    };
    let request = start("POST /graphql", parent);
    let operation = start("query", &request);
    operation.span().set_attribute(KeyValue::new(attribute::ROOT_FIELD, root_field));
    operation.span().set_attributes(more);
    operation.span().end();
    request.span().end();
    request.span().span_context().clone()
}

fn query(tracer: &SdkTracer) -> SpanContext {
    operation(tracer, &Context::new(), "Query.books", 1, Vec::new())
}

fn kept(store: &TraceStore, query: &OperationsQuery) -> Vec<String> {
    let listed = serde_json::to_value(store.operations(query)).unwrap();
    let operations = listed["operations"].as_array().unwrap();
    operations.iter().map(|it| it["kept"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn stores_what_is_not_sampled() {
    let (store, tracer) = store(1 << 20);
    let span = query(&tracer);
    assert!(!span.is_sampled());
    let trace = store.trace(span.trace_id()).unwrap();
    let names: Vec<_> = trace.spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["POST /graphql", "query"]);
    assert_eq!(trace.spans[1].parent_span_id, Some(span.span_id()));
    assert!(trace.duration >= 0.001, "{trace:?}");
}

#[test]
fn shows_a_request_only_what_is_below_it() {
    let (store, tracer) = store(1 << 20);
    let caller = SpanContext::new(7.into(), 8.into(), TraceFlags::SAMPLED, true, TraceState::NONE);
    let caller = Context::new().with_remote_span_context(caller);
    let [one, other] =
        ["Query.books", "Query.authors"].map(|it| operation(&tracer, &caller, it, 1, Vec::new()));
    assert_eq!(store.trace(7.into()).unwrap().spans.len(), 4);
    for span in [&one, &other] {
        let request = store.request(7.into(), span.span_id()).unwrap();
        let root = request.spans.first().unwrap();
        assert_eq!((request.spans.len(), root.span_id), (2, span.span_id()));
        assert!(root.offset.abs() < 1e-9, "{root:?}");
    }
    // The caller knows its own span, and so may others.
    assert!(store.request(7.into(), 8.into()).is_none());
    assert!(store.request(7.into(), SpanId::INVALID).is_none());
}

#[test]
fn stays_within_its_bytes() {
    let (store, tracer) = store(256 << 10);
    let mut all = HashSet::new();
    for number in 0..100_000_u32 {
        let root_field = ["Query.books", "Query.authors"][number as usize % 2];
        let error = KeyValue::new("error.type", "BAD_USER_INPUT");
        let more = if number % 10 == 0 { vec![error] } else { Vec::new() };
        all.insert(operation(&tracer, &Context::new(), root_field, 1, more).trace_id());
        if number % 100 == 0 {
            let stats = store.stats();
            assert!(stats.bytes <= stats.limit, "{stats:?}");
        }
    }
    let stats = store.stats();
    assert_eq!((all.len(), stats.recorded, stats.dropped), (100_000, 100_000, 0));
    assert!((50..2000).contains(&stats.traces), "{stats:?}");
}

#[test]
fn keeps_what_is_worth_a_look_when_it_is_full() {
    let (store, tracer) = store(256 << 10);
    let error = vec![KeyValue::new("error.type", "TIMEOUT")];
    let failed = operation(&tracer, &Context::new(), "Query.books", 1, error);
    let slow_poll = vec![KeyValue::new("tokio.task.slow_polls", 1)];
    let blocked = operation(&tracer, &Context::new(), "Query.books", 1, slow_poll);
    let slow = operation(&tracer, &Context::new(), "Query.books", 5000, Vec::new());
    let first = query(&tracer);
    for _ in 0..5000 {
        query(&tracer);
    }
    let last = query(&tracer);
    for span in [&failed, &blocked, &slow, &last] {
        assert!(store.trace(span.trace_id()).is_some());
    }
    assert!(store.trace(first.trace_id()).is_none());
    let query = OperationsQuery { only: Selection::Failed, ..OperationsQuery::default() };
    assert_eq!(kept(&store, &query), ["error"]);
    let query = OperationsQuery { only: Selection::SlowPolls, ..OperationsQuery::default() };
    assert_eq!(kept(&store, &query), ["slow_poll"]);
    let slowest = OperationsQuery { order: Order::Slowest, limit: 1, ..OperationsQuery::default() };
    assert_eq!(store.operations(&slowest).operations[0].operation.trace_id, slow.trace_id());
    let all = OperationsQuery { limit: usize::MAX, ..OperationsQuery::default() };
    let sampled = kept(&store, &all).iter().filter(|it| *it == "sampled").count();
    assert!(sampled > 10, "{sampled}");
}

#[test]
fn errors_do_not_displace_all_else() {
    let (store, tracer) = store(256 << 10);
    let slow_poll = vec![KeyValue::new("tokio.task.slow_polls", 1)];
    let blocked = operation(&tracer, &Context::new(), "Query.books", 1, slow_poll);
    for _ in 0..5000 {
        let error = vec![KeyValue::new("error.type", "BAD_USER_INPUT")];
        operation(&tracer, &Context::new(), "Query.books", 1, error);
    }
    assert!(store.trace(blocked.trace_id()).is_some());
}

#[test]
fn one_trace_id_for_all_requests_takes_a_share() {
    let (store, tracer) = store(1 << 20);
    let caller = SpanContext::new(7.into(), 8.into(), TraceFlags::SAMPLED, true, TraceState::NONE);
    let caller = Context::new().with_remote_span_context(caller);
    for _ in 0..5000 {
        let span = operation(&tracer, &caller, "Query.books", 1, Vec::new());
        assert!(store.request(7.into(), span.span_id()).is_some());
    }
    let stats = store.stats();
    assert!(stats.bytes < stats.limit / 8, "{stats:?}");
    assert_eq!(stats.traces, 1);
}

#[test]
fn unfinished_traces_take_a_quarter_at_most() {
    let (store, tracer) = store(256 << 10);
    let requests: Vec<_> = (0..2000)
        .map(|_| {
            let span = SpanBuilder::from_name("POST /graphql");
            let request =
                Context::new().with_span(tracer.build_with_context(span, &Context::new()));
            drop(tracer.build_with_context(SpanBuilder::from_name("query"), &request));
            request
        })
        .collect();
    let stats = store.stats();
    assert!(stats.bytes <= stats.limit / 4, "{stats:?}");
    assert!(stats.dropped > 0, "{stats:?}");
    drop(requests);
    let stats = store.stats();
    assert!(stats.bytes <= stats.limit, "{stats:?}");
    assert_eq!(stats.recorded, 2000);
}

#[test]
fn pages_are_not_stored() {
    let (store, tracer) = store(1 << 20);
    for (status, stored) in [(200, false), (404, true)] {
        let span = SpanBuilder::from_name("GET /")
            .with_kind(SpanKind::Server)
            .with_attributes([KeyValue::new("http.response.status_code", status)]);
        let span = tracer.build_with_context(span, &Context::new());
        let id = opentelemetry::trace::Span::span_context(&span).trace_id();
        drop(span);
        assert_eq!(store.trace(id).is_some(), stored, "{status}");
    }
}

#[test]
fn adds_what_comes_after_the_end() {
    let (store, tracer) = store(1 << 20);
    let span = SpanBuilder::from_name("POST /graphql");
    let request = Context::new().with_span(tracer.build_with_context(span, &Context::new()));
    let operation = tracer.build_with_context(SpanBuilder::from_name("mutation"), &request);
    request.span().end();
    drop(operation);
    let trace = store.trace(request.span().span_context().trace_id()).unwrap();
    assert_eq!(trace.spans.len(), 2);
    assert!(store.stats().bytes < 4096, "nothing is left in progress: {:?}", store.stats());
}

#[test]
fn counts_by_root_field() {
    let (store, tracer) = store(1 << 20);
    for milliseconds in [10, 20, 30] {
        operation(&tracer, &Context::new(), "Query.books", milliseconds, Vec::new());
    }
    let error = vec![
        KeyValue::new("error.type", "TIMEOUT"),
        KeyValue::new("tokio.task.slow_polls", 2),
        KeyValue::new("tokio.task.busy", 0.5),
    ];
    let slowest = operation(&tracer, &Context::new(), "Query.books", 40, error);
    let figures = serde_json::to_value(store.root_fields()).unwrap();
    let books = &figures["root_fields"][0];
    assert_eq!(books["root_field"], "Query.books");
    assert_eq!(
        (&books["count"], &books["errors"], &books["slow_polls"]),
        (&4.into(), &1.into(), &2.into())
    );
    assert_eq!(books["busy"], 0.5);
    assert_eq!(books["slowest_trace_id"], slowest.trace_id().to_string());
    assert!(books["p50"].as_f64().unwrap() >= 0.02, "{books}");
    assert!(books["rate"].as_f64().unwrap() > 0.0, "{books}");
}
