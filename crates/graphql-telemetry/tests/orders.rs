//! The example `orders`, seen from outside: a service with another schema, a stock transport and a plain
//! connection.

use std::{path::PathBuf, process::Command, sync::Arc};

use opentelemetry::TraceId;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use serde_json::json;
use testing::{Service, otlp::Receiver};

/// The example, which Cargo builds with the tests: beside the folder of the tests' own programs.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let deps = test.parent().expect("it is in a folder");
    let program = deps.with_file_name("examples").join("orders");
    assert!(
        program.exists(),
        "`cargo test --test` builds no examples: run `cargo build --example orders`"
    );
    program
}

/// Starts it, with its telemetry to `receiver`.
fn start(receiver: &Receiver) -> Service {
    let mut command = Command::new(program());
    command
        .args(["127.0.0.1:0", "127.0.0.1:0"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http())
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
        .env_remove("RUST_LOG");
    let dir = tempfile::tempdir().expect("a folder");
    Service::start(command, Arc::new(dir))
}

/// The digits of a trace's id, none for an item without one.
fn trace_id(bytes: &[u8]) -> String {
    bytes.try_into().map_or_else(|_| String::new(), |id| TraceId::from_bytes(id).to_string())
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match attribute(attributes, key)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match &attribute.value {
        Some(AnyValue { value: Some(value) }) => Some(value),
        _ => None,
    }
}

/// The spans of a trace, when its root has arrived, by a name that must be there once.
struct Trace(Vec<Span>);

impl Trace {
    async fn wait(receiver: &Receiver, id: &str) -> Self {
        let of_trace = |receiver: &Receiver| -> Vec<Span> {
            receiver.spans().into_iter().filter(|span| trace_id(&span.trace_id) == id).collect()
        };
        let is_root = |span: &Span| span.parent_span_id.is_empty();
        receiver.wait("the trace", |receiver| of_trace(receiver).iter().any(is_root)).await;
        Self(of_trace(receiver))
    }

    fn only(&self, name: &str) -> &Span {
        match &self.0.iter().filter(|span| span.name == name).collect::<Vec<_>>()[..] {
            [only] => only,
            spans => panic!("{} spans are called {name}: {:#?}", spans.len(), self.names()),
        }
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|span| &*span.name).collect()
    }

    fn children(&self, parent: &Span) -> Vec<&Span> {
        self.0.iter().filter(|span| span.parent_span_id == parent.span_id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_a_request_down_to_its_statements() {
    let receiver = Receiver::start().await;
    let service = start(&receiver);
    let (id, response) = service.traced("query List { orders { items } }", json!({})).await;
    assert_eq!(response["data"]["orders"][49]["items"][0], "book 50", "{response}");
    let trace = Trace::wait(&receiver, &id).await;
    let request = trace.only("POST /graphql");
    assert_eq!(request.kind(), SpanKind::Server);
    let [operation] = trace.children(request)[..] else { panic!("{:?}", trace.names()) };
    assert_eq!(operation.name, "query");
    assert_eq!(text(&operation.attributes, "graphql.root_field"), Some("Query.orders"));
    assert_eq!(text(&operation.attributes, "graphql.operation.name"), Some("List"));
    let busy = attribute(&operation.attributes, "tokio.task.busy");
    assert!(matches!(busy, Some(Value::DoubleValue(busy)) if *busy > 0.0), "{busy:?}");
    for phase in ["GraphQL Document Parsing", "GraphQL Document Validation"] {
        assert_eq!(trace.only(phase).parent_span_id, operation.span_id);
    }
    let execution = trace.only("GraphQL Operation Execution");
    assert_eq!(execution.parent_span_id, operation.span_id);
    let list = trace.only("Query.orders");
    assert_eq!(trace.children(list).len(), 1, "its statement: {:?}", trace.names());
    let items = trace.only("Order.items");
    assert_eq!(attribute(&items.attributes, "graphql.field.calls"), Some(&Value::IntValue(50)));
    assert_eq!(text(&items.attributes, "graphql.selection.path"), Some("orders.items"));
    let statements = trace.children(items);
    assert_eq!(statements.len(), 50, "one for each order");
    for statement in statements {
        assert_eq!(statement.name, "SELECT purchase");
        assert_eq!(text(&statement.attributes, "db.system.name"), Some("sqlite"));
        let rows = attribute(&statement.attributes, "db.response.returned_rows");
        assert_eq!(rows, Some(&Value::IntValue(1)));
    }
    // And nothing else: neither for `Query.orders` of each order, nor for getters.
    assert_eq!(trace.0.len(), 7 + 51, "{:#?}", trace.names());
}

#[tokio::test(flavor = "multi_thread")]
async fn correlates_log_lines_and_records_with_the_trace() {
    let receiver = Receiver::start().await;
    let mut service = start(&receiver);
    let (id, _) = service.traced("{ orders { items } }", json!({})).await;
    // On a slow machine the trace has a slow poll's line, too.
    service.wait_for_log("the access line", |line| {
        line["trace_id"] == id.as_str() && line["http.response.status_code"] == 200
    });
    let arrived = |receiver: &Receiver| {
        receiver.records().iter().any(|record| trace_id(&record.trace_id) == id)
    };
    receiver.wait("the log record", arrived).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_a_slow_poll_with_field_and_trace() {
    let receiver = Receiver::start().await;
    let mut service = start(&receiver);
    let (id, _) = service.traced("{ invoice }", json!({})).await;
    let line = service.wait_for_log("the slow poll", |line| {
        line["event"] == "tokio.slow_poll" && line["trace_id"] == id.as_str()
    });
    assert_eq!(line["graphql.selection.field.coordinate"], "Query.invoice", "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_scraped_and_exported() {
    let receiver = Receiver::start().await;
    let service = start(&receiver);
    service.traced("{ orders { items } }", json!({})).await;
    let scrape = service.scrape().await;
    for series in [
        "http_server_request_duration_seconds_count{http_request_method=\"POST\"",
        "graphql_server_request_duration_seconds_count{graphql_operation_type=\"query\"",
        "graphql_server_request_db_statements_sum{graphql_root_field=\"Query.orders\"} 51",
        "db_client_operation_duration_seconds_count{db_system_name=\"sqlite\"",
        "target_info{",
    ] {
        assert!(scrape.contains(series), "{series} is not in:\n{scrape}");
    }
    let is_exported = |receiver: &Receiver| {
        let metrics = receiver.metrics();
        metrics.iter().any(|metric| metric.name == "graphql.server.request.duration")
    };
    receiver.wait("the metrics", is_exported).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_the_rest_on_shutdown() {
    let receiver = Receiver::start().await;
    let mut service = start(&receiver);
    service.traced("{ orders { items } }", json!({})).await;
    service.signal("-INT");
    let stopped = service.wait_for_log("the end", |line| line["event"] == "telemetry.stopped");
    assert!(service.wait().success());
    assert_eq!(stopped["telemetry.export.lost"], "0 spans, 0 log records, 0 data points");
    assert!(receiver.spans().iter().any(|span| span.name == "POST /graphql"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_recent_traces() {
    let receiver = Receiver::start().await;
    let service = start(&receiver);
    let (id, _) = service.traced("{ orders { items } }", json!({})).await;
    let get = async |path: &str| -> serde_json::Value {
        let url = format!("{}/debug/api/{path}", service.admin);
        let response = service.client.get(url).send().await.expect("a response");
        response.json().await.expect("JSON")
    };
    let listed = get("operations?root_field=Query.orders").await;
    let operation = &listed["operations"][0];
    assert_eq!(
        (operation["trace_id"].as_str(), &operation["statements"]),
        (Some(&*id), &51.into())
    );
    let trace = get(&format!("traces/{id}")).await;
    let findings = trace["findings"].as_array().expect("a list");
    let n_plus_one = findings.iter().find(|finding| finding["kind"] == "n_plus_one");
    assert_eq!(n_plus_one.expect("it")["message"], "50 statements below Order.items: N+1");
    assert_eq!(trace["spans"].as_array().map(Vec::len), Some(7 + 51));
    let lines = trace["logs"].as_array().expect("a list");
    assert!(lines.iter().any(|line| line["name"] == "http.access"), "{lines:?}");
    let statements = get("database").await;
    assert_eq!(statements["statements"][0]["summary"], "SELECT purchase");
    assert_eq!(statements["statements"][0]["count"], 51);
}

#[cfg(all(target_os = "linux", tokio_unstable))]
#[tokio::test(flavor = "multi_thread")]
async fn dumps_named_tasks() {
    let receiver = Receiver::start().await;
    let service = start(&receiver);
    let url = format!("{}/debug/tasks", service.admin);
    let dump = service.client.get(url).send().await.expect("a response");
    let dump = dump.text().await.expect("its text");
    assert!(dump.contains(" mailer, "), "{dump}");
}
