//! What is told of operations on a socket, as it arrives at a real collector.

use serde_json::{Value, json};
use testing::{
    Db,
    collector::{Collector, Span, prompt, tree},
    socket::{Client, closed_for},
};

const QUERY: &str = "query Q($q: String!) { search(query: $q) { nodes { title } } }";
const SECRET: &str = "s3cretVariable";

const TREE: &str = "\
query SERVER
  GraphQL Document Parsing INTERNAL
  GraphQL Document Validation INTERNAL
  GraphQL Operation Execution INTERNAL
    Query.search INTERNAL
      SELECT SELECT book_search SELECT book_search book CLIENT
";

fn operations(collector: &Collector) -> Vec<Span> {
    let is_it = |span: &Span| span.kind == 2 && span.name != "GET /graphql";
    collector.spans().into_iter().filter(is_it).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_a_trace_of_its_own_or_goes_on_with_its_callers() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    // The most that can be asked for.
    variables.push(("RUST_LOG", "trace,tungstenite=trace"));
    let mut service = Db::sqlite().serve_in(&variables).await;
    let mut client = Client::hello(&service).await;
    let ask = |extensions: Value| json!({ "query": QUERY, "variables": { "q": SECRET }, "extensions": extensions });
    client.ask("1", ask(Value::Null)).await;
    client.answer("1").await;
    let caller = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let traceparent = format!("00-{}-{}-01", caller.0, caller.1);
    client.ask("2", ask(json!({ "traceparent": traceparent }))).await;
    client.answer("2").await;
    client.ask("3", ask(json!({ "traceparent": "nonsense" }))).await;
    client.answer("3").await;
    client.subscribe("4", "{ nonsense }").await;
    let refused = client.refusal("4").await;
    client.close().await;
    closed_for(&service, "client", 1.0).await;

    collector.wait("four operations", |collector| operations(collector).len() == 4);
    let upgrade =
        collector.wait_for("the upgrade", std::time::Duration::from_secs(30), |collector| {
            collector.spans().into_iter().find(|span| span.name == "GET /graphql")
        });
    assert_eq!(upgrade.attribute("http.response.status_code"), "101");
    assert_eq!((upgrade.status, upgrade.parent.as_str()), (0, ""));

    let mut of_caller = 0;
    for operation in operations(&collector) {
        for (name, value) in [
            ("network.protocol.name", "websocket"),
            ("client.address", "127.0.0.1"),
            ("network.peer.address", "127.0.0.1"),
        ] {
            assert_eq!(operation.attribute(name), value);
        }
        assert_eq!(operation.links, std::slice::from_ref(&upgrade.id));
        assert_ne!(operation.trace, upgrade.trace);
        if operation.trace == caller.0 {
            of_caller += 1;
            assert_eq!(operation.parent, caller.1);
        } else {
            assert_eq!(operation.parent, "");
        }
        // Whole: nothing in it hangs below what is not there.
        let spans = collector.trace(&operation.trace);
        let has = |name| operation.attributes.contains_key(name);
        if has("graphql.operation.name") && !has("graphql.operation.cached") {
            assert_eq!(tree(&spans), TREE);
        }
        assert_eq!(operation.status, 0, "a client's mistake turns nothing red");
    }
    assert_eq!(of_caller, 1);
    let trace = refused[0]["extensions"]["traceId"].as_str().unwrap();
    assert!(operations(&collector).iter().any(|operation| operation.trace == trace));

    service.wait_for_log("the end of the socket", |line| line["event"] == "websocket.closed");
    let lines: Vec<String> = service.log().iter().map(Value::to_string).collect();
    for told in [lines.join("\n"), collector.raw()] {
        assert!(told.contains("websocket.closed"), "the end of the socket is told");
        assert!(!told.contains(SECRET), "a variable is told");
    }
}
