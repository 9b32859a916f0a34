//! What each class of error turns red, and what it does not.

use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};
use testing::{
    Db, Service,
    collector::{Collector, Metrics, Point, Span, observed, prompt, tree},
    trace_of,
};

use crate::page;

/// What an operation that failed left behind.
struct Failed {
    spans: Vec<Span>,
    status: u16,
}

impl Failed {
    /// Sends a document that must fail with `code`, and waits for its trace.
    async fn with(service: &Service, collector: &Collector, code: &str, body: Value) -> Self {
        let request = service.client.post(format!("{}/graphql", service.url)).json(&body);
        let response = request.send().await.unwrap();
        let (trace, status) = (trace_of(&response), response.status().as_u16());
        let answer: Value = response.json().await.unwrap();
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions["code"], code, "{body}: {answer:#}");
        assert_eq!(extensions["traceId"], trace, "an error names its trace");
        Self { spans: collector.trace(&trace), status }
    }

    fn operation(&self) -> &Span {
        let is_operation =
            |span: &&Span| ["query", "mutation", "GraphQL Operation"].contains(&span.name.as_str());
        self.spans.iter().find(is_operation).unwrap_or_else(|| panic!("{}", tree(&self.spans)))
    }

    fn server(&self) -> &Span {
        self.spans.iter().find(|span| span.kind == 2).unwrap()
    }

    fn red(&self) -> Vec<&str> {
        let red = self.spans.iter().filter(|span| span.status == 2);
        let mut names: Vec<_> = red.map(|span| span.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The spans that have an exception, each with its type and message.
    fn exceptions(&self) -> Vec<(&str, &str, &str)> {
        self.spans
            .iter()
            .flat_map(|span| span.events.iter().map(move |event| (span, event)))
            .map(|(span, (name, attributes))| {
                assert_eq!(name, "exception");
                assert!(!attributes["exception.stacktrace"].is_empty());
                let (kind, message) =
                    (&attributes["exception.type"], &attributes["exception.message"]);
                (span.name.as_str(), kind.as_str(), message.as_str())
            })
            .collect()
    }

    fn is_a_mistake(&self, code: &str) {
        assert_eq!(self.red(), Vec::<&str>::new(), "{}", tree(&self.spans));
        assert!(self.exceptions().is_empty());
        assert_eq!(self.operation().attribute("error.type"), code);
        assert!(self.status < 500);
        assert!(!self.server().attributes.contains_key("error.type"));
    }

    fn is_a_fault(&self, code: &str) {
        assert_eq!(self.operation().status, 2);
        assert_eq!(self.operation().attribute("error.type"), code);
        assert!(self.status >= 500);
        assert_eq!(self.server().status, 2);
        assert_eq!(self.server().attribute("error.type"), code);
    }
}

/// How many errors of a code were counted; none before the first metrics came.
fn errors(metrics: &Metrics, code: &str) -> Option<u32> {
    let key = ("graphql.server.errors".to_owned(), [("error.type".into(), code.into())].into());
    match metrics.get(&key)? {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        Point::Counter(count) => Some(*count as u32),
        other => panic!("{code}: {other:?}"),
    }
}

/// Documents that fail by the client's doing, each with its code.
fn mistakes(book: &str) -> Vec<(&'static str, Value)> {
    let query = |query: &str| json!({ "query": query });
    vec![
        ("BAD_USER_INPUT", query("{ books(first: -1) { totalCount } }")),
        ("BAD_USER_INPUT", query("{ bookByIsbn(isbn: \"1\") { id } }")),
        ("NOT_FOUND", query("mutation { deleteBook(id: \"book_999\") }")),
        (
            "CONFLICT",
            query(
                "mutation { createBook(input: { title: \"B\", isbn: \"9780441013593\" }) { id } }",
            ),
        ),
        (
            "CONFLICT",
            json!({
                "query": "mutation($id: ID!) { updateBook(id: $id, expectedVersion: 7,
                    input: { title: \"C\" }) { id } }",
                "variables": { "id": book },
            }),
        ),
        ("GRAPHQL_PARSE_FAILED", query("{ books")),
        ("GRAPHQL_VALIDATION_FAILED", query("{ films { title } }")),
        ("GRAPHQL_VALIDATION_FAILED", query("{ book(id: \"book_1\", isbn: 1) { id } }")),
        (
            "OPERATION_RESOLUTION_FAILURE",
            json!({ "query": "{ __typename }", "operationName": "Other" }),
        ),
        ("LIMIT_EXCEEDED", query(&format!("{}id{}", "{ a".repeat(60), "}".repeat(60)))),
    ]
}

async fn a_mistake_turns_nothing_red(db: Db) {
    let collector = Collector::start();
    let service = observed(&db, &collector).await;
    let book = service.create(json!({ "title": "Dune", "isbn": "9780441013593" })).await;
    let mistakes = mistakes(&book);
    for (code, body) in &mistakes {
        Failed::with(&service, &collector, code, body.clone()).await.is_a_mistake(code);
    }
    for (code, _) in &mistakes {
        let made = mistakes.iter().filter(|(other, _)| other == code).count();
        collector.wait(code, |c| errors(&c.metrics(), code) == Some(u32::try_from(made).unwrap()));
    }
    let metrics = collector.metrics();
    // All codes are there from the start, so that a first error is a rise.
    assert_eq!(errors(&metrics, "INTERNAL_SERVER_ERROR"), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_no_error_status_for_client_errors_on_sqlite() {
    a_mistake_turns_nothing_red(Db::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_no_error_status_for_client_errors_on_postgres() {
    a_mistake_turns_nothing_red(Db::postgres().await).await;
}

/// What is no GraphQL at all has no operation, and its refusal is counted.
#[tokio::test(flavor = "multi_thread")]
async fn counts_rejected_requests_without_error_status() {
    let collector = Collector::start();
    let service = observed(&Db::sqlite(), &collector).await;
    let url = format!("{}/graphql", service.url);
    let json = |body: &'static str| {
        service.client.post(&url).header("content-type", "application/json").body(body)
    };
    for (code, request) in [
        ("BAD_REQUEST", json("[]")),
        ("UNSUPPORTED_MEDIA_TYPE", service.client.post(&url).body("x")),
        ("NOT_ACCEPTABLE", json("{}").header("accept", "text/html")),
        ("METHOD_NOT_ALLOWED", service.client.put(&url)),
    ] {
        let response = request.send().await.unwrap();
        let trace = trace_of(&response);
        assert_eq!(
            response.json::<Value>().await.unwrap()["errors"][0]["extensions"]["code"],
            code
        );
        let spans = collector.trace(&trace);
        assert_eq!(spans.len(), 1, "{}", tree(&spans));
        assert_eq!(spans[0].status, 0);
        collector.wait(code, |c| errors(&c.metrics(), code) == Some(1));
    }
}

/// The table is gone: the statement, its field, the operation and the request are red, and the
/// exception is recorded once, where it arose.
async fn a_failed_statement_is_red(db: Db, status: &str) {
    let collector = Collector::start();
    let service = observed(&db, &collector).await;
    let connection = Database::connect(&db.url).await.unwrap();
    connection.execute_unprepared("ALTER TABLE book RENAME TO volume").await.unwrap();
    let body = json!({ "query": "{ books { nodes { id } } }" });
    let failed = Failed::with(&service, &collector, "INTERNAL_SERVER_ERROR", body).await;
    failed.is_a_fault("INTERNAL_SERVER_ERROR");
    assert_eq!(
        failed.red(),
        ["GraphQL Operation Execution", "POST /graphql", "Query.books", page(&db), "query"]
    );
    let exceptions = failed.exceptions();
    assert_eq!(exceptions.len(), 1, "{exceptions:?}");
    let (span, kind, message) = exceptions[0];
    assert_eq!(span, page(&db));
    assert!(kind.ends_with("DatabaseFault") && message.contains(status), "{kind}: {message}");
    let statement = failed.spans.iter().find(|span| span.name == page(&db)).unwrap();
    assert_eq!(statement.attribute("db.response.status_code"), status);
    assert_eq!(statement.attribute("error.type"), status);
    collector
        .wait("the error is counted", |c| errors(&c.metrics(), "INTERNAL_SERVER_ERROR") == Some(1));
    let is_failure = |event: &&Value| event["event"] == "graphql.error";
    assert_eq!(service.log().iter().filter(is_failure).count(), 1, "logged once");
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_error_status_of_a_failed_statement_on_sqlite() {
    a_failed_statement_is_red(Db::sqlite(), "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_error_status_of_a_failed_statement_on_postgres() {
    a_failed_statement_is_red(Db::postgres().await, "42P01").await;
}

/// What becomes of a query whose table is locked, under a limit on its time.
async fn out_of_time(limit: (&str, &str)) -> Failed {
    let collector = Collector::start();
    let db = Db::postgres().await;
    let mut variables = prompt(&collector.http);
    variables.push(limit);
    let service = db.serve_in(&variables).await;
    let _lock = lock(&db).await;
    let body = json!({ "query": "{ books { nodes { id } } }" });
    let failed = Failed::with(&service, &collector, "TIMEOUT", body).await;
    failed.is_a_fault("TIMEOUT");
    assert_eq!(failed.exceptions().len(), 1, "{:?}", failed.exceptions());
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_error_status_where_time_ran_out() {
    let failed = out_of_time(("COLOPHON_OPERATION_TIMEOUT", "300ms")).await;
    assert_eq!(failed.exceptions()[0].0, "GraphQL Operation Execution");
    let statement = failed.spans.iter().find(|span| span.name == "SELECT SELECT book").unwrap();
    assert_eq!(statement.attribute("error.type"), "cancelled");
}

/// PostgreSQL ends the statement itself.
#[tokio::test(flavor = "multi_thread")]
async fn sets_error_status_of_a_statement_that_timed_out() {
    let failed = out_of_time(("COLOPHON_STATEMENT_TIMEOUT", "200ms")).await;
    let (span, _, message) = failed.exceptions()[0];
    assert_eq!(span, "SELECT SELECT book");
    assert!(message.contains("57014"), "{message}");
}

/// All connections are taken, for longer than anyone may wait.
#[tokio::test(flavor = "multi_thread")]
async fn sets_error_status_of_a_wait_for_an_exhausted_pool() {
    let collector = Collector::start();
    let db = Db::postgres().await;
    let mut variables = prompt(&collector.http);
    variables.extend([("COLOPHON_POOL_SIZE", "1"), ("COLOPHON_POOL_WAIT", "200ms")]);
    let service = db.serve_in(&variables).await;
    let _lock = lock(&db).await;
    let body = json!({ "query": "{ books { nodes { id } } }" });
    let holder = service.execute("{ books { nodes { id } } }", json!({}));
    let waiting = async {
        let used = "db_client_connection_count{db_client_connection_pool_name=\"postgres\",\
                    db_client_connection_state=\"used\"} 1";
        while !service.scrape().await.contains(used) {
            tokio::task::yield_now().await;
        }
        Failed::with(&service, &collector, "DATABASE_UNAVAILABLE", body).await
    };
    let (_, second) = tokio::join!(holder, waiting);
    second.is_a_fault("DATABASE_UNAVAILABLE");
    let exceptions = second.exceptions();
    assert_eq!(exceptions.len(), 1, "{exceptions:?}");
    assert_eq!(exceptions[0].0, "db.pool.acquire");
    collector.wait("the time-out is counted", |collector| {
        let metrics = collector.metrics();
        let timeouts = |key: &(String, _)| key.0 == "db.client.connection.timeouts";
        metrics.iter().any(|(key, point)| timeouts(key) && *point == Point::Counter(1.0))
    });
}

/// Holds the table of books until it is dropped.
async fn lock(db: &Db) -> sea_orm::DatabaseTransaction {
    use sea_orm::TransactionTrait;
    let connection = Database::connect(&db.url).await.unwrap();
    let transaction = connection.begin().await.unwrap();
    transaction.execute_unprepared("LOCK TABLE book").await.unwrap();
    transaction
}

/// `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN` moves exceptions to the logs, or copies them there.
#[tokio::test(flavor = "multi_thread")]
async fn exceptions_go_where_they_are_asked_to() {
    for (signal, on_span) in [("logs", false), ("logs/dup", true)] {
        let collector = Collector::start();
        let db = Db::sqlite();
        let mut variables = prompt(&collector.http);
        variables.push(("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", signal));
        let service = db.serve_in(&variables).await;
        let connection = Database::connect(&db.url).await.unwrap();
        connection.execute_unprepared("ALTER TABLE book RENAME TO volume").await.unwrap();
        let body = json!({ "query": "{ books { nodes { id } } }" });
        let failed = Failed::with(&service, &collector, "INTERNAL_SERVER_ERROR", body).await;
        assert_eq!(!failed.exceptions().is_empty(), on_span, "{signal}");
        let statement = failed.spans.iter().find(|span| span.name == "SELECT book").unwrap();
        let record = collector.wait_for("the exception's record", testing::PATIENCE, |c| {
            c.records().into_iter().find(|record| record.event == "exception")
        });
        assert_eq!((&record.trace, &record.span), (&statement.trace, &statement.id));
        assert!(record.attributes["exception.type"].ends_with("DatabaseFault"));
    }
}
