//! What the extension costs an operation in memory: 50 orders with three fields each and a customer that
//! is loaded without waiting. `bare` is the schema without an extension; `empty` has one that does nothing;
//! `observed` has the extension, with spans that are recorded and thrown away where they end.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::sync::{Arc, LazyLock};

use async_graphql::{
    EmptyMutation, EmptySubscription, Object, Schema,
    extensions::{Extension, ExtensionFactory},
};
use divan::Bencher;
use graphql_telemetry::{
    Telemetry,
    graphql::TelemetryExtension,
    settings::{ExportSettings, Exporter, OtlpOptions, Protocol},
};
use tokio::runtime::Runtime;

struct Customer(i32);

#[Object]
impl Customer {
    async fn name(&self) -> String {
        format!("customer {}", self.0)
    }
}

struct Order(i32);

#[Object]
impl Order {
    async fn id(&self) -> i32 {
        self.0
    }

    async fn item(&self) -> String {
        format!("book {}", self.0)
    }

    async fn customer(&self) -> Customer {
        Customer(self.0 % 7)
    }
}

struct Query;

#[Object]
impl Query {
    async fn order(&self, id: i32) -> Order {
        Order(id)
    }

    async fn orders(&self) -> Vec<Order> {
        (0..50).map(Order).collect()
    }
}

type Shop = Schema<Query, EmptyMutation, EmptySubscription>;

const ONE: &str = "{ order(id: 1) { id item customer { name } } }";
const LIST: &str = "{ orders { id item customer { name } } }";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());

fn schema() -> async_graphql::SchemaBuilder<Query, EmptyMutation, EmptySubscription> {
    Schema::build(Query, EmptyMutation, EmptySubscription)
}

fn run(bencher: Bencher, schema: &Shop, query: &str) {
    bencher.bench_local(|| {
        let response = RUNTIME.block_on(schema.execute(query));
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        response
    });
}

#[divan::bench(args = [ONE, LIST])]
fn bare(bencher: Bencher, query: &str) {
    run(bencher, &schema().finish(), query);
}

/// Does nothing, at the price of any extension.
struct Empty;

impl ExtensionFactory for Empty {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

impl Extension for Empty {}

#[divan::bench(args = [ONE, LIST])]
fn empty(bencher: Bencher, query: &str) {
    run(bencher, &schema().extension(Empty).finish(), query);
}

#[divan::bench(args = [ONE, LIST])]
fn observed(bencher: Bencher, query: &str) {
    run(bencher, &schema().extension(TelemetryExtension::new()).finish(), query);
}

fn main() {
    // Nobody listens there: the queue is full after a moment, and spans are encoded and dropped.
    let endpoint = "http://127.0.0.1:9/v1/traces".parse().unwrap();
    let traces = Exporter::Otlp(Box::new(OtlpOptions::new(Protocol::Http, endpoint)));
    let export = ExportSettings { traces, ..ExportSettings::default() };
    let telemetry = Telemetry::builder("bench", "1.0.0").export(export).log_filter("off").install();
    let telemetry = telemetry.unwrap();
    divan::main();
    telemetry.shutdown(std::time::Duration::ZERO);
}
