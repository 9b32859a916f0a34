//! Operations whose responses are a stream, as `Schema::execute_stream` has them for WebSockets.

use std::time::Duration;

use async_graphql::{
    Error, Object, Request, Response, Schema, Subscription,
    http::{WebSocket, WebSocketProtocols, WsMessage},
};
use futures_util::{Stream, StreamExt, future::ready, stream};
use graphql_telemetry::graphql::{TelemetryExtension, open_subscriptions};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio::time::sleep;

use super::{INSTALLED, Instrumented, attribute, database, find, names, statement, traced};

type Db = Instrumented<DatabaseConnection>;

struct Tick(u64);

#[Object]
impl Tick {
    async fn number(&self) -> u64 {
        self.0
    }

    async fn nap(&self, milliseconds: u64) -> bool {
        sleep(Duration::from_millis(milliseconds)).await;
        true
    }

    async fn later(&self, milliseconds: u64) -> Self {
        sleep(Duration::from_millis(milliseconds)).await;
        Self(self.0)
    }

    async fn row(&self, context: &async_graphql::Context<'_>) -> Result<bool, Error> {
        let db = context.data_unchecked::<Db>();
        Ok(db
            .query_one_raw(statement("SELECT 1 FROM item"))
            .await
            .map_err(|it| it.to_string())?
            .is_some())
    }
}

struct Query;

#[Object]
impl Query {
    async fn tick(&self) -> Tick {
        Tick(1)
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn write(&self) -> Result<bool, Error> {
        tokio::task::yield_now().await;
        Err(Error::new("nothing can be written"))
    }
}

struct Events;

/// Endless events of which only the first has come.
fn one_and_wait() -> impl Stream<Item = Tick> {
    stream::iter([Tick(1)]).chain(stream::pending())
}

// Each test has a field of its own, by which it finds its metrics.
#[Subscription(name = "Subscription")]
impl Events {
    async fn two(&self) -> impl Stream<Item = Tick> {
        stream::iter([Tick(1), Tick(2)])
    }

    async fn empty(&self) -> impl Stream<Item = Tick> {
        stream::empty()
    }

    async fn socket(&self) -> impl Stream<Item = Tick> {
        stream::iter([Tick(1)])
    }

    async fn endless(&self) -> impl Stream<Item = Tick> {
        one_and_wait()
    }

    async fn silent(&self) -> impl Stream<Item = Tick> {
        stream::pending()
    }

    async fn stuck(&self) -> impl Stream<Item = Tick> {
        one_and_wait()
    }

    async fn broken(&self) -> impl Stream<Item = Result<Tick, Error>> {
        stream::iter([Err(Error::new("a broken event")), Ok(Tick(2))])
    }

    async fn fast(&self) -> impl Stream<Item = Tick> {
        stream::once(async {
            sleep(Duration::from_millis(5)).await;
            Tick(1)
        })
    }

    async fn slow(&self) -> impl Stream<Item = Tick> {
        stream::iter([Tick(2)])
    }

    async fn denied(&self) -> Result<stream::Empty<Tick>, Error> {
        ready(Err(Error::new("not at once"))).await
    }

    async fn denied_late(&self) -> Result<stream::Empty<Tick>, Error> {
        sleep(Duration::from_millis(1)).await;
        Err(Error::new("not later either"))
    }

    async fn stored(
        &self,
        context: &async_graphql::Context<'_>,
    ) -> Result<stream::Empty<Tick>, Error> {
        let db = context.data_unchecked::<Db>();
        db.query_one_raw(statement("SELECT 1 FROM item")).await.map_err(|it| it.to_string())?;
        Ok(stream::empty())
    }
}

async fn schema() -> Schema<Query, Mutation, Events> {
    Schema::build(Query, Mutation, Events)
        .data(database().await)
        .extension(TelemetryExtension::new())
        .finish()
}

/// Executes a request to its end, and returns the responses and the spans of its trace.
async fn execute(name: &'static str, request: impl Into<Request>) -> (Vec<Response>, Vec<Span>) {
    let schema = schema().await;
    traced(name, async { schema.execute_stream(request).collect().await }).await
}

/// The traces of the events of a subscription, once there are `count`: all of their spans.
async fn events(subscription: &Span, count: usize) -> Vec<Vec<Span>> {
    let receiver = &INSTALLED.receiver;
    let is_linked = |span: &Span| span.links.iter().any(|it| it.span_id == subscription.span_id);
    let roots = || receiver.spans().into_iter().filter(is_linked).collect::<Vec<_>>();
    receiver.wait("the events", |_| roots().len() >= count).await;
    let mut roots = roots();
    assert_eq!(roots.len(), count);
    roots.sort_by_key(|span| span.start_time_unix_nano);
    let all = receiver.spans();
    let of_trace =
        |root: &Span| all.iter().filter(|span| span.trace_id == root.trace_id).cloned().collect();
    roots.iter().map(of_trace).collect()
}

/// The value of a series of a field of `Subscription` by further labels; none if there is no such series.
fn metric(name: &str, field: &str, labels: &[&str]) -> Option<f64> {
    let scrape = INSTALLED.telemetry.scrape().expect("a scrape").render();
    let field = format!("graphql_root_field=\"Subscription.{field}\"");
    let is_it = |line: &&str| {
        let series = line.strip_prefix(name).filter(|rest| rest.starts_with('{'));
        series.is_some_and(|series| {
            series.contains(&field) && labels.iter().all(|label| series.contains(label))
        })
    };
    scrape.lines().find(is_it)?.rsplit(' ').next()?.parse().ok()
}

fn ended(field: &str, reason: &str) -> Option<f64> {
    let reason = format!("graphql_subscription_end_reason=\"{reason}\"");
    metric("graphql_server_subscription_ended_total", field, &[&reason])
}

/// The value of an attribute, empty if there is none.
fn value(span: &Span, key: &str) -> String {
    attribute(span, key).unwrap_or_default()
}

fn text(value: &str) -> String {
    format!("StringValue({value:?})")
}

fn int(value: i64) -> String {
    format!("IntValue({value})")
}

fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

#[tokio::test]
async fn traces_each_event_of_a_subscription() {
    let document = "query Other { tick { number } } \
        subscription Name { two { number nap(milliseconds: 1) row } }";
    let request = Request::new(document).operation_name("Name");
    let (responses, spans) = execute("subscribes", request).await;
    assert_eq!(responses.len(), 2, "{responses:?}");
    let subscription = find(&spans, "subscription");
    assert_eq!(value(subscription, "graphql.root_field"), text("Subscription.two"));
    assert_eq!(value(subscription, "graphql.operation.name"), text("Name"));
    assert_eq!(value(subscription, "graphql.subscription.events"), int(2));
    for phase in ["GraphQL Document Parsing", "GraphQL Document Validation"] {
        assert_eq!(find(&spans, phase).parent_span_id, subscription.span_id);
    }
    assert_eq!(spans.len(), 4, "the events are elsewhere: {:?}", names(&spans));
    for spans in events(subscription, 2).await {
        let event = find(&spans, "GraphQL Subscription Event");
        assert_eq!((event.kind(), event.links.len()), (SpanKind::Consumer, 1));
        assert!(event.parent_span_id.is_empty() && event.trace_id != subscription.trace_id);
        assert_eq!(event.links[0].trace_id, subscription.trace_id);
        assert_eq!(value(event, "graphql.root_field"), text("Subscription.two"));
        let execution = find(&spans, "GraphQL Operation Execution");
        assert_eq!(execution.parent_span_id, event.span_id);
        let (nap, row) = (find(&spans, "Tick.nap"), find(&spans, "Tick.row"));
        assert_eq!(nap.parent_span_id, execution.span_id);
        assert_eq!(find(&spans, "SELECT item").parent_span_id, row.span_id);
        assert_eq!(spans.len(), 5, "{:?}", names(&spans));
    }
    assert_eq!(metric("graphql_server_subscription_started_total", "two", &[]), Some(1.0));
    assert_eq!(metric("graphql_server_subscription_event_count_total", "two", &[]), Some(2.0));
    let durations = "graphql_server_subscription_event_duration_seconds_count";
    assert_eq!(metric(durations, "two", &[]), Some(2.0));
    let statements = "graphql_server_request_db_statements_sum";
    assert_eq!(metric(statements, "two", &[]), Some(2.0));
    // A subscription is no request that took as long as it lasted.
    let requests = "graphql_server_request_duration_seconds_count";
    assert_eq!(metric(requests, "two", &[]), None);
}

#[tokio::test]
async fn completes_with_its_events() {
    let (_, spans) = execute("has none", "subscription { empty { number } }").await;
    let subscription = find(&spans, "subscription");
    assert_eq!(value(subscription, "graphql.subscription.end_reason"), text("completed"));
    assert_eq!(ended("empty", "completed"), Some(1.0));
}

#[tokio::test]
async fn is_open_until_it_is_dropped() {
    let schema = schema().await;
    let active = |field| metric("graphql_server_subscription_active", field, &[]);
    let is_listed = |field: &str| {
        let (_, open) = open_subscriptions(usize::MAX);
        open.iter().any(|one| one.root_field == format!("Subscription.{field}"))
    };
    for (name, field, count) in [("leaves", "endless", 1), ("hears nothing", "silent", 0)] {
        let subscribe = async {
            let document = format!("subscription {{ {field} {{ number }} }}");
            let mut responses = schema.execute_stream(document);
            while futures_util::poll!(responses.next()).is_ready() {}
            assert_eq!((active(field), is_listed(field)), (Some(1.0), true));
        };
        let ((), spans) = traced(name, subscribe).await;
        assert_eq!((active(field), is_listed(field)), (Some(0.0), false));
        let subscription = find(&spans, "subscription");
        let reason = value(subscription, "graphql.subscription.end_reason");
        assert_eq!(reason, text("disconnected"));
        assert_eq!(value(subscription, "graphql.subscription.events"), int(count));
        assert_eq!(ended(field, "disconnected"), Some(1.0));
    }
}

#[tokio::test]
async fn cancels_the_event_of_a_dropped_subscription() {
    let schema = schema().await;
    let subscribe = async {
        let mut responses =
            schema.execute_stream("subscription { stuck { nap(milliseconds: 60000) } }");
        assert!(futures_util::poll!(responses.next()).is_pending());
    };
    let ((), spans) = traced("hangs up", subscribe).await;
    let subscription = find(&spans, "subscription");
    assert_eq!(value(subscription, "graphql.subscription.events"), int(0));
    let event = &events(subscription, 1).await[0];
    let event = find(event, "GraphQL Subscription Event");
    assert_eq!(value(event, "error.type"), text("CANCELLED"));
}

#[tokio::test]
async fn an_event_with_a_fault_fails_and_its_subscription_does_not() {
    let document = "subscription { broken { number } }";
    let (responses, spans) = execute("hears of a fault", document).await;
    assert_eq!(responses.iter().map(|it| it.errors.len()).collect::<Vec<_>>(), [1, 0]);
    let subscription = find(&spans, "subscription");
    assert!(!has_failed(subscription));
    assert_eq!(ended("broken", "completed"), Some(1.0));
    let codes = |spans: &Vec<Span>| {
        let event = find(spans, "GraphQL Subscription Event");
        (value(event, "error.type"), has_failed(event))
    };
    let codes: Vec<_> = events(subscription, 2).await.iter().map(codes).collect();
    assert_eq!(codes, [(text("INTERNAL_SERVER_ERROR"), true), (String::new(), false)]);
}

#[tokio::test]
async fn keeps_events_of_several_fields_apart() {
    // The event of `fast` comes and goes while that of `slow` waits for `later`.
    let document = "subscription { \
        fast { nap(milliseconds: 1) } slow { later(milliseconds: 30) { row } } }";
    let (responses, spans) = execute("mixes", document).await;
    assert_eq!(responses.len(), 2, "{responses:?}");
    let subscription = find(&spans, "subscription");
    assert_eq!(value(subscription, "graphql.root_field"), text("_MULTIPLE"));
    let paths = |spans: &Vec<Span>| {
        let mut paths: Vec<_> =
            spans.iter().filter_map(|span| attribute(span, "graphql.selection.path")).collect();
        paths.sort();
        paths
    };
    let [slow, fast] = &events(subscription, 2).await[..] else { panic!("two") };
    assert_eq!(paths(fast), [text("fast.nap")]);
    assert_eq!(paths(slow), [text("slow.later"), text("slow.later.row")]);
}

#[tokio::test]
async fn is_no_subscription_if_its_resolver_fails_at_once() {
    let (responses, spans) = execute("is denied", "subscription { denied { number } }").await;
    assert_eq!(responses.len(), 1, "{responses:?}");
    let operation = find(&spans, "subscription");
    assert_eq!(value(operation, "error.type"), text("INTERNAL_SERVER_ERROR"));
    assert!(has_failed(operation));
    let requests = "graphql_server_request_duration_seconds_count";
    assert_eq!(metric(requests, "denied", &["error_type=\"INTERNAL_SERVER_ERROR\""]), Some(1.0));
    assert_eq!(metric("graphql_server_subscription_started_total", "denied", &[]), None);
}

#[tokio::test]
async fn fails_if_its_resolver_fails_later() {
    let (responses, spans) = execute("waits", "subscription { deniedLate { number } }").await;
    assert_eq!(responses.len(), 1, "{responses:?}");
    let subscription = find(&spans, "subscription");
    assert_eq!(value(subscription, "graphql.subscription.end_reason"), text("failed"));
    assert_eq!(value(subscription, "error.type"), text("INTERNAL_SERVER_ERROR"));
    assert!(has_failed(subscription));
    assert_eq!(ended("deniedLate", "failed"), Some(1.0));
}

#[tokio::test]
async fn has_the_statements_of_its_resolver() {
    let (_, spans) = execute("reads", "subscription { stored { number } }").await;
    let subscription = find(&spans, "subscription");
    assert_eq!(find(&spans, "SELECT item").parent_span_id, subscription.span_id);
}

#[tokio::test]
async fn rejects_documents_as_by_http() {
    for (name, document, code) in [
        ("subscribes to no document", "subscription { two ", "GRAPHQL_PARSE_FAILED"),
        ("subscribes to nothing", "subscription { three }", "GRAPHQL_VALIDATION_FAILED"),
    ] {
        let (responses, spans) = execute(name, document).await;
        assert_eq!(responses.len(), 1, "{responses:?}");
        let operation = find(&spans, "GraphQL Operation");
        assert_eq!(value(operation, "error.type"), text(code));
        assert_eq!(value(operation, "graphql.error.count"), int(1));
        let scrape = INSTALLED.telemetry.scrape().expect("a scrape").render();
        let counter = format!("graphql_server_errors_total{{error_type=\"{code}\"}} ");
        assert!(scrape.contains(&counter), "{counter} is not in {scrape}");
    }
}

#[tokio::test]
async fn traces_queries_and_mutations_as_by_http() {
    let document = "query One { tick { row } } mutation Two { write }";
    for (name, operation, kind, field, error) in [
        ("asks", "One", "query", "Tick.row", String::new()),
        ("writes", "Two", "mutation", "Mutation.write", text("INTERNAL_SERVER_ERROR")),
    ] {
        let schema = schema().await;
        let request = || Request::new(document).operation_name(operation);
        let (responses, streamed) = execute(name, request()).await;
        assert_eq!(responses.len(), 1, "{responses:?}");
        let (_, once) = traced(name, schema.execute(request())).await;
        assert_eq!(names(&streamed), names(&once));
        let span = find(&streamed, kind);
        assert_eq!(value(span, "graphql.operation.name"), text(operation));
        assert_eq!(value(span, "error.type"), error);
        let execution = find(&streamed, "GraphQL Operation Execution");
        assert_eq!(execution.parent_span_id, span.span_id);
        assert_eq!(find(&streamed, field).parent_span_id, execution.span_id);
    }
}

#[tokio::test]
async fn traces_what_comes_by_a_websocket() {
    let schema = schema().await;
    let messages = [
        r#"{"type":"connection_init"}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":"subscription { socket { number } }"}}"#,
        r#"{"type":"subscribe","id":"2","payload":{"query":"{ tick { row } }"}}"#,
    ];
    let messages = stream::iter(messages).chain(stream::pending());
    let socket = WebSocket::new(schema, messages, WebSocketProtocols::GraphQLWS);
    let is_end = |message: &WsMessage| matches!(message, WsMessage::Text(text) if text.contains("\"complete\""));
    let ends = socket.filter(|message| ready(is_end(message))).take(2).collect::<Vec<_>>();
    let (ends, spans) = traced("connects", ends).await;
    assert_eq!(ends.len(), 2);
    let reason = value(find(&spans, "subscription"), "graphql.subscription.end_reason");
    assert_eq!(reason, text("completed"));
    assert_eq!(events(find(&spans, "subscription"), 1).await.len(), 1);
    assert_eq!(value(find(&spans, "query"), "graphql.root_field"), text("Query.tick"));
}
