//! The engine behind the transports of async-graphql-axum as they are: it alone rejects hostile documents,
//! masks faults and makes traces.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use async_graphql_axum::{GraphQL, GraphQLSubscription};
use axum::{
    Router,
    routing::{get_service, post_service},
};
use clap::Parser;
use colophon::{
    config::Cli,
    database::Database,
    graphql::execution::engine::{Engine, EngineExecutor},
    security::Caller,
};
use graphql_telemetry::{
    Telemetry,
    http::TelemetryLayer,
    settings::{ExportSettings, Exporter, OtlpOptions, Protocol},
};
use serde_json::{Value, json};
use testing::{otlp::Receiver, socket::Client, trace_of};
use tokio::net::TcpListener;

/// A server with the stock transports: `/open` for everybody, `/closed` for callers who are unknown.
struct Server {
    url: String,
    client: reqwest::Client,
}

impl Server {
    async fn start() -> Self {
        let settings =
            Cli::parse_from(["colophon", "--database-url", "sqlite::memory:", "--lab"]).settings;
        let db = Database::open(&settings.database).await.unwrap();
        db.migrate_up().await.unwrap();
        let closed = EngineExecutor::new(Arc::new(Engine::new(db, &settings)));
        let open = closed.clone().with_caller(Caller::unrestricted());
        let app = Router::new()
            .route("/open", post_service(GraphQL::new(open.clone())))
            .route("/closed", post_service(GraphQL::new(closed)))
            .route("/socket", get_service(GraphQLSubscription::new(open)))
            .layer(TelemetryLayer::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime_insight::spawn("stock transports", async move {
            axum::serve(listener, app).await.unwrap();
        });
        Self { url, client: testing::client() }
    }

    /// The trace of a request, and its response.
    async fn send(&self, path: &str, body: &Value) -> (String, Value) {
        let url = format!("{}{path}", self.url);
        let response = self.client.post(url).json(body).send().await.unwrap();
        (trace_of(&response), response.json().await.unwrap())
    }

    async fn code(&self, path: &str, query: &str) -> String {
        let (_, response) = self.send(path, &json!({ "query": query })).await;
        let code = response["errors"][0]["extensions"]["code"].as_str();
        code.unwrap_or_else(|| panic!("{response:#}")).to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_alone_protects_and_explains() {
    let receiver = Receiver::start().await;
    let endpoint = format!("{}/v1/traces", receiver.http()).parse().unwrap();
    let traces = Exporter::Otlp(Box::new(OtlpOptions::new(Protocol::Http, endpoint)));
    let export = ExportSettings { traces, ..ExportSettings::default() };
    let _telemetry = Telemetry::builder("stock", "1.0.0").export(export).install().unwrap();
    let server = Server::start().await;

    let books = json!({ "query": "query Q($n: Int) { books(first: $n) { totalCount } }",
        "variables": { "n": 3 }, "operationName": "Q" });
    let (trace, response) = server.send("/open", &books).await;
    assert_eq!(response, json!({ "data": { "books": { "totalCount": 0 } } }));

    // Nobody who is unknown may do anything.
    assert_eq!(server.code("/closed", "{ books { totalCount } }").await, "FORBIDDEN");
    // Documents that cost too much.
    let aliases: Vec<_> = (0..2_000).map(|n| format!("a{n}: books {{ totalCount }}")).collect();
    let aliases = format!("{{ {} }}", aliases.join(" "));
    assert_eq!(server.code("/open", &aliases).await, "LIMIT_EXCEEDED");
    let deep = "{ books { nodes { authors ".repeat(40) + &"}".repeat(120);
    let code = server.code("/open", &deep).await;
    assert!(["LIMIT_EXCEEDED", "GRAPHQL_VALIDATION_FAILED"].contains(&&*code), "{code}");
    assert_eq!(server.code("/open", "{ books").await, "GRAPHQL_PARSE_FAILED");
    // Several requests in one.
    let (_, response) = server.send("/open", &json!([books, books])).await;
    assert_eq!(response["errors"][0]["extensions"]["code"], "BAD_REQUEST");
    // Faults.
    let (panicked, response) = server.send("/open", &json!({ "query": "{ labPanic }" })).await;
    let error = &response["errors"][0];
    assert_eq!(error["extensions"]["code"], "INTERNAL_SERVER_ERROR");
    assert_eq!(error["message"], "Internal server error; see the service's log.");
    assert_eq!(error["extensions"]["traceId"], panicked.as_str());

    // One trace, from the layer's span to the statement.
    let names = |receiver: &Receiver, trace: &str| -> Vec<String> {
        let id = |bytes: &[u8]| opentelemetry::TraceId::from_bytes(bytes.try_into().unwrap());
        let spans = receiver.spans().into_iter();
        spans.filter(|span| id(&span.trace_id).to_string() == trace).map(|span| span.name).collect()
    };
    let has = |name: &'static str| {
        let trace = trace.clone();
        move |receiver: &Receiver| names(receiver, &trace).iter().any(|it| it == name)
    };
    for name in ["POST /open", "query", "GraphQL Operation Execution", "SELECT book"] {
        receiver.wait(name, has(name)).await;
    }

    // And by a WebSocket.
    let mut socket = Client::hello_at(&format!("{}/socket", server.url)).await;
    socket.subscribe("1", "{ books { totalCount } }").await;
    assert_eq!(socket.answer("1").await["data"]["books"]["totalCount"], 0);
    socket.subscribe("2", "{ labPanic }").await;
    let response = socket.answer("2").await;
    assert_eq!(response["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR");
}
