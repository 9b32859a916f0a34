//! The parts that the example does not show, in this process, whose telemetry goes to a receiver.

mod streams;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_graphql::{
    EmptyMutation, EmptySubscription, Error, ErrorExtensions, Object, Schema,
    dataloader::{DataLoader, Loader},
};
use futures_util::StreamExt;
use graphql_telemetry::{
    Telemetry, TelemetryError,
    graphql::{TelemetryExtension, spawn_batch},
    sea_orm::Instrumented,
    settings::{ExportSettings, Exporter, OtlpOptions, Protocol},
    traces::start_span,
};
use opentelemetry::{
    Context, KeyValue,
    trace::{FutureExt, SpanBuilder, TraceContextExt},
};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement,
    StreamTrait, TransactionTrait,
};
use testing::otlp::Receiver;
use tokio::runtime::Runtime;

/// A process's telemetry, once for all tests, with the receiver of its spans.
struct Installed {
    telemetry: Telemetry,
    receiver: Receiver,
    _runtime: Runtime,
}

static INSTALLED: LazyLock<Installed> = LazyLock::new(|| {
    std::thread::spawn(|| {
        let runtime = Runtime::new().expect("a runtime");
        let receiver = runtime.block_on(Receiver::start());
        let endpoint = format!("{}/v1/traces", receiver.http()).parse().expect("a URL");
        let traces = Exporter::Otlp(Box::new(OtlpOptions::new(Protocol::Http, endpoint)));
        let mut export = ExportSettings { traces, ..ExportSettings::default() };
        export.span_queue.delay = Duration::from_millis(5);
        let telemetry = Telemetry::builder("in-process", "1.0.0").export(export).install();
        let telemetry = telemetry.expect("it is the first");
        Installed { telemetry, receiver, _runtime: runtime }
    })
    .join()
    .expect("it is installed")
});

/// Does `work` in a trace of its own, and returns its spans when the root has arrived.
async fn traced<T>(name: &'static str, work: impl Future<Output = T>) -> (T, Vec<Span>) {
    let receiver = &INSTALLED.receiver;
    let context = start_span(SpanBuilder::from_name(name), &Context::new(), || [] as [KeyValue; 0]);
    let trace = context.span().span_context().trace_id().to_bytes();
    let result = work.with_context(context.clone()).await;
    context.span().end();
    let spans = || {
        let spans = receiver.spans().into_iter();
        spans.filter(|span| span.trace_id == trace).collect::<Vec<_>>()
    };
    receiver.wait("the trace", |_| spans().iter().any(|span| span.name == name)).await;
    (result, spans())
}

fn names(spans: &[Span]) -> Vec<&str> {
    let mut spans: Vec<_> = spans.iter().filter(|span| !span.parent_span_id.is_empty()).collect();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans.into_iter().map(|span| &*span.name).collect()
}

fn find<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("{name} is not among {:?}", names(spans)))
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key)?;
    Some(format!("{:?}", attribute.value.as_ref()?.value.as_ref()?))
}

async fn database() -> Instrumented<DatabaseConnection> {
    let _ = &*INSTALLED;
    let options = ConnectOptions::new("sqlite::memory:").max_connections(1).to_owned();
    let db =
        Instrumented::new(Database::connect(options).await.expect("memory"), "sqlite::memory:");
    let create = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)";
    db.execute_unprepared(create).await.expect("a table");
    db
}

fn statement(sql: &str) -> Statement {
    Statement::from_string(DbBackend::Sqlite, sql)
}

#[tokio::test]
async fn traces_a_transaction_from_begin_to_commit() {
    let db = database().await;
    let insert = db.transaction::<_, (), DbErr>(|transaction| {
        Box::pin(async move {
            transaction.execute_raw(statement("INSERT INTO item VALUES (1, 'a')")).await?;
            Ok(())
        })
    });
    let (result, spans) = traced("commits", insert).await;
    result.expect("it commits");
    assert_eq!(names(&spans), ["BEGIN", "INSERT item", "COMMIT"]);
    let fails = db.transaction::<_, (), DbErr>(|transaction| {
        Box::pin(async move {
            transaction.execute_raw(statement("INSERT INTO item VALUES (2, 'b')")).await?;
            transaction.execute_raw(statement("INSERT INTO item VALUES (1, 's3cret')")).await?;
            Ok(())
        })
    });
    let (result, spans) = traced("rolls back", fails).await;
    result.expect_err("the key is taken");
    assert_eq!(names(&spans), ["BEGIN", "INSERT item", "INSERT item", "ROLLBACK"]);
    let rows = db.query_all_raw(statement("SELECT id FROM item")).await.expect("rows");
    assert_eq!(rows.len(), 1, "the second transaction left nothing");
    assert!(!format!("{spans:?}").contains("s3cret"), "only the text of statements has values");
}

#[tokio::test]
async fn traces_nested_transactions() {
    let db = database().await;
    let work = async {
        let outer = db.begin().await?;
        let inner = outer.begin().await?;
        inner.execute_raw(statement("INSERT INTO item VALUES (1, 'a')")).await?;
        sea_orm::TransactionSession::rollback(inner).await?;
        sea_orm::TransactionSession::commit(outer).await
    };
    let (result, spans) = traced("nests", work).await;
    result.expect("they end");
    assert_eq!(names(&spans), ["BEGIN", "BEGIN", "INSERT item", "ROLLBACK", "COMMIT"]);
}

#[tokio::test]
async fn records_the_rows_read_from_a_stream() {
    let db = database().await;
    let fill = "INSERT INTO item (name) VALUES ('a'), ('b'), ('c')";
    db.execute_unprepared(fill).await.expect("rows");
    let read = async |count: usize| {
        let rows = db.stream_raw(statement("SELECT name FROM item")).await.expect("a stream");
        rows.take(count).count().await
    };
    for (name, count) in [("reads all", 10), ("reads two", 2)] {
        let (read, spans) = traced(name, read(count)).await;
        assert_eq!(read, count.min(3));
        let rows = attribute(find(&spans, "SELECT item"), "db.response.returned_rows");
        assert_eq!(rows, Some(format!("IntValue({read})")));
    }
}

#[tokio::test]
async fn records_the_code_of_a_failed_statement_without_values() {
    let db = database().await;
    let work = db.query_one_raw(statement("SELECT nothing FROM nowhere"));
    let (result, spans) = traced("fails", work).await;
    result.expect_err("there is no such table");
    let span = find(&spans, "SELECT nowhere");
    assert_eq!(attribute(span, "error.type"), Some("StringValue(\"1\")".to_owned()));
    let status = span.status.as_ref().expect("a status");
    assert_eq!(status.code(), StatusCode::Error);
    assert_eq!(status.message, "SQLite result code 1 (error)");
}

/// Loads names, one statement for a batch.
struct Names(Instrumented<DatabaseConnection>);

impl Loader<i32> for Names {
    type Value = String;
    type Error = Arc<DbErr>;

    async fn load(&self, keys: &[i32]) -> Result<HashMap<i32, String>, Arc<DbErr>> {
        let rows = self.0.query_all_raw(statement("SELECT id, name FROM item")).await?;
        let pair =
            |row: &sea_orm::QueryResult| Ok((row.try_get("", "id")?, row.try_get("", "name")?));
        let all: HashMap<i32, String> = rows.iter().map(pair).collect::<Result<_, DbErr>>()?;
        Ok(all.into_iter().filter(|(id, _)| keys.contains(id)).collect())
    }
}

struct Item(i32);

#[Object]
impl Item {
    async fn id(&self) -> i32 {
        self.0
    }

    async fn name(&self, context: &async_graphql::Context<'_>) -> Result<Option<String>, Error> {
        let loader = context.data_unchecked::<DataLoader<Names>>();
        loader.load_one(self.0).await.map_err(|error| Error::new(error.to_string()))
    }
}

struct Query;

#[Object]
impl Query {
    async fn items(&self) -> Vec<Item> {
        (1..=3).map(Item).collect()
    }

    async fn missing(&self) -> Result<bool, Error> {
        tokio::task::yield_now().await;
        Err(Error::new("no").extend_with(|_, extensions| extensions.set("code", "NOT_FOUND")))
    }

    async fn broken(&self) -> Result<bool, Error> {
        tokio::task::yield_now().await;
        Err(Error::new("a plain error"))
    }

    async fn nap(&self) -> bool {
        tokio::time::sleep(Duration::from_millis(5)).await;
        true
    }
}

async fn schema() -> Schema<Query, EmptyMutation, EmptySubscription> {
    let db = database().await;
    let fill = "INSERT INTO item (name) VALUES ('a'), ('b'), ('c')";
    db.execute_unprepared(fill).await.expect("rows");
    Schema::build(Query, EmptyMutation, EmptySubscription)
        .data(DataLoader::new(Names(db), spawn_batch))
        .extension(TelemetryExtension::new())
        .finish()
}

#[tokio::test]
async fn makes_a_batch_a_child_of_its_field() {
    let schema = schema().await;
    let work = schema.execute("{ items { id name } }");
    let (response, spans) = traced("loads", work).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    let (field, statement) = (find(&spans, "Item.name"), find(&spans, "SELECT item"));
    assert_eq!(statement.parent_span_id, field.span_id);
    assert_eq!(attribute(field, "graphql.field.calls"), Some("IntValue(3)".to_owned()));
    // The list and the ids do no I/O.
    for name in ["Query.items", "Item.id"] {
        assert!(spans.iter().all(|span| span.name != name), "{:?}", names(&spans));
    }
}

#[tokio::test]
async fn makes_a_span_for_each_alias() {
    let schema = schema().await;
    let (response, spans) = traced("waits", schema.execute("{ one: nap two: nap }")).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    let naps: Vec<_> = spans.iter().filter(|span| span.name == "Query.nap").collect();
    let mut paths: Vec<_> =
        naps.iter().filter_map(|span| attribute(span, "graphql.selection.path")).collect();
    paths.sort();
    assert_eq!(paths, ["StringValue(\"one\")", "StringValue(\"two\")"]);
    let operation = attribute(find(&spans, "query"), "graphql.root_field");
    assert_eq!(operation, Some("StringValue(\"Query.nap\")".to_owned()));
}

#[tokio::test]
async fn counts_errors_and_fails_spans_on_faults_only() {
    let schema = schema().await;
    for (name, query, code, fails) in [
        ("finds nothing", "{ missing }", "NOT_FOUND", false),
        ("breaks", "{ broken }", "INTERNAL_SERVER_ERROR", true),
        ("is no document", "{ broken", "GRAPHQL_PARSE_FAILED", false),
        ("is not valid", "{ nothing }", "GRAPHQL_VALIDATION_FAILED", false),
    ] {
        let (response, spans) = traced(name, schema.execute(query)).await;
        assert_eq!(response.errors.len(), 1);
        let operation = spans.iter().find(|span| attribute(span, "graphql.error.count").is_some());
        let operation = operation.unwrap_or_else(|| panic!("{:?}", names(&spans)));
        assert_eq!(attribute(operation, "error.type"), Some(format!("StringValue({code:?})")));
        let has_failed =
            operation.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
        assert_eq!(has_failed, fails, "{query}");
        let scrape = INSTALLED.telemetry.scrape().expect("a scrape").render();
        let counter = format!("graphql_server_errors_total{{error_type=\"{code}\"}} ");
        assert!(scrape.contains(&counter), "{counter} is not in {scrape}");
    }
}

#[tokio::test]
async fn names_of_clients_become_no_labels() {
    let schema = schema().await;
    for number in 0..50 {
        schema.execute(format!("query Name{number} {{ alias{number}: nap }}")).await;
        schema.execute(format!("{{ unknown{number} }}")).await;
    }
    let scrape = INSTALLED.telemetry.scrape().expect("a scrape").render();
    assert!(
        !scrape.contains("Name4") && !scrape.contains("alias4") && !scrape.contains("unknown4")
    );
}

#[tokio::test]
async fn spans_of_the_services_own_crate_are_exported() {
    #[tracing::instrument]
    async fn computes(answer: i64) {
        tracing::info!("inside");
    }
    let _ = &*INSTALLED;
    let ((), spans) = traced("calls", computes(42)).await;
    assert_eq!(attribute(find(&spans, "computes"), "answer"), Some("IntValue(42)".to_owned()));
}

#[test]
fn rejects_a_second_telemetry() {
    let _ = &*INSTALLED;
    let second = Telemetry::builder("again", "1.0.0").install();
    assert!(matches!(second, Err(TelemetryError::Installed(_))), "{second:?}");
}
