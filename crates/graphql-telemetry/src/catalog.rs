//! Every name the service emits, once: metrics with kind, unit, help and attributes, and the
//! attributes of spans that no convention names. Where a convention does, its constant is used.
//!
//! Recording an attribute that a metric does not declare panics in debug builds, and the tests
//! compare this catalog with what arrives at a collector.

use std::sync::{PoisonError, RwLock};

use opentelemetry_semantic_conventions::{attribute as attr, metric};
pub use runtime_insight::catalog::{Kind, Metric};
use runtime_insight::{catalog, metrics as runtime};

use crate::attribute;

/// Buckets of the durations of requests, in seconds: those that the HTTP convention advises.
const REQUEST: Kind = Kind::Histogram(&[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
]);
/// Buckets of the durations of database calls, in seconds: those that the convention advises.
const STATEMENT: Kind = Kind::Histogram(&[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0]);
/// Buckets of numbers of things.
const COUNT: Kind = Kind::Histogram(&[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0,
]);
/// Buckets of sizes of bodies, in bytes.
const SIZE: Kind = Kind::Histogram(&[
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
]);

const HTTP: &[&str] = &[
    attr::HTTP_REQUEST_METHOD,
    attr::URL_SCHEME,
    attr::HTTP_ROUTE,
    attr::HTTP_RESPONSE_STATUS_CODE,
    attr::ERROR_TYPE,
    attr::NETWORK_PROTOCOL_VERSION,
];
const DATABASE: &[&str] = &[
    attr::DB_SYSTEM_NAME,
    attr::DB_NAMESPACE,
    attr::DB_OPERATION_NAME,
    attr::DB_COLLECTION_NAME,
    attr::DB_QUERY_SUMMARY,
    attr::ERROR_TYPE,
];
const POOL: &[&str] = &[attr::DB_CLIENT_CONNECTION_POOL_NAME];
const SDK: &[&str] = &[attr::ERROR_TYPE];

catalog! {
    /// The metrics of the service, but for those of the catalog of books.
    static OWN;
    pub metrics:
    HTTP_DURATION = metric::HTTP_SERVER_REQUEST_DURATION, REQUEST, "s", HTTP,
        "Duration of HTTP requests.";
    HTTP_ACTIVE = metric::HTTP_SERVER_ACTIVE_REQUESTS, Kind::UpDown, "{request}",
        &[attr::HTTP_REQUEST_METHOD, attr::URL_SCHEME],
        "HTTP requests that are being answered.";
    HTTP_REQUEST_SIZE = metric::HTTP_SERVER_REQUEST_BODY_SIZE, SIZE, "By", HTTP,
        "Size of the bodies of HTTP requests that announce it.";
    HTTP_RESPONSE_SIZE = metric::HTTP_SERVER_RESPONSE_BODY_SIZE, SIZE, "By", HTTP,
        "Size of the bodies of HTTP responses.";
    HTTP_CONNECTIONS = "http.server.connections.active", Kind::UpDown, "{connection}", &[],
        "Open connections of clients.";
    HTTP_CONNECTIONS_CLOSED = "http.server.connections.closed", Kind::Counter, "{connection}",
        &[attr::ERROR_TYPE],
        "Connections of clients that were closed. With error.type those that the service closed on \
         somebody who would have stayed, or that broke.";

    WEBSOCKET_ACTIVE = "websocket.server.active_connections", Kind::UpDown, "{connection}", &[],
        "Open WebSockets.";
    WEBSOCKET_CLOSED = "websocket.server.closed_connections", Kind::Counter, "{connection}",
        &[attribute::CLOSE_REASON],
        "WebSockets that were closed, by the reason.";

    GRAPHQL_DURATION = "graphql.server.request.duration", REQUEST, "s",
        &[
            attr::GRAPHQL_OPERATION_TYPE,
            attribute::ROOT_FIELD,
            attr::GRAPHQL_OPERATION_NAME,
            attr::ERROR_TYPE,
        ],
        "Duration of GraphQL operations; by name for trusted documents.";
    GRAPHQL_PROCESSING = "graphql.server.processing.duration", REQUEST, "s",
        &[attribute::PROCESSING_TYPE],
        "Duration of the phases of GraphQL operations: parsing, validation, execution.";
    GRAPHQL_ACTIVE = "graphql.server.active_requests", Kind::UpDown, "{request}",
        &[attr::GRAPHQL_OPERATION_TYPE],
        "GraphQL operations that are being executed.";
    GRAPHQL_WAIT = "graphql.server.queue.wait", STATEMENT, "s", &[],
        "Time that GraphQL operations waited until fewer were running, or were refused.";
    GRAPHQL_ERRORS = "graphql.server.errors", Kind::Counter, "{error}", &[attr::ERROR_TYPE],
        "Errors in GraphQL answers, by code.";
    GRAPHQL_FIELD = "graphql.server.field.duration", REQUEST, "s", &[attribute::FIELD_COORDINATE],
        "Duration of the calls of resolvers that do I/O.";
    DATALOADER_BATCH = "graphql.dataloader.batch.size", COUNT, "{key}", &[attribute::DATALOADER],
        "Keys in DataLoader batches.";
    REQUEST_STATEMENTS = "graphql.server.request.db.statements", COUNT, "{statement}",
        &[attribute::ROOT_FIELD],
        "SQL statements of a GraphQL operation.";

    SUBSCRIPTION_ACTIVE = "graphql.server.subscription.active", Kind::UpDown, "{subscription}",
        &[attribute::ROOT_FIELD],
        "GraphQL subscriptions that are open.";
    SUBSCRIPTION_STARTED = "graphql.server.subscription.started", Kind::Counter, "{subscription}",
        &[attribute::ROOT_FIELD],
        "GraphQL subscriptions that were opened.";
    SUBSCRIPTION_ENDED = "graphql.server.subscription.ended", Kind::Counter, "{subscription}",
        &[attribute::ROOT_FIELD, attribute::SUBSCRIPTION_END],
        "GraphQL subscriptions that have ended, by the reason.";
    SUBSCRIPTION_EVENTS = "graphql.server.subscription.event_count", Kind::Counter, "{event}",
        &[attribute::ROOT_FIELD],
        "Events that were delivered to GraphQL subscriptions.";
    SUBSCRIPTION_DURATION = "graphql.server.subscription.event.duration", REQUEST, "s",
        &[attribute::ROOT_FIELD, attr::ERROR_TYPE],
        "Duration of the execution of events, one for all subscriptions that are alike.";
    SUBSCRIPTION_LAG = "graphql.server.subscription.lag", REQUEST, "s", &[attribute::ROOT_FIELD],
        "Time from a change to the delivery of its event.";
    SUBSCRIPTION_DROPPED = "graphql.server.subscription.dropped", Kind::Counter, "{event}",
        &[attribute::ROOT_FIELD],
        "Events that a subscription's client missed, and was told to have missed.";
    SUBSCRIPTION_QUEUE = "graphql.server.subscription.queue", Kind::UpDown, "{event}", &[],
        "Events that wait to be sent to their subscriptions.";

    DB_DURATION = metric::DB_CLIENT_OPERATION_DURATION, STATEMENT, "s", DATABASE,
        "Duration of SQL statements, without waiting for a connection.";
    DB_ROWS = metric::DB_CLIENT_RESPONSE_RETURNED_ROWS, COUNT, "{row}", DATABASE,
        "Rows that SQL statements returned.";
    DB_CONNECTIONS = metric::DB_CLIENT_CONNECTION_COUNT, Kind::UpDown, "{connection}",
        &[attr::DB_CLIENT_CONNECTION_STATE, attr::DB_CLIENT_CONNECTION_POOL_NAME],
        "Connections of the pool, by state.";
    DB_CONNECTIONS_MAX = metric::DB_CLIENT_CONNECTION_MAX, Kind::UpDown, "{connection}", POOL,
        "Connections that the pool may open.";
    DB_PENDING = metric::DB_CLIENT_CONNECTION_PENDING_REQUESTS, Kind::UpDown, "{request}", POOL,
        "Requests that wait for a connection.";
    DB_TIMEOUTS = metric::DB_CLIENT_CONNECTION_TIMEOUTS, Kind::Counter, "{timeout}", POOL,
        "Requests that waited for a connection for too long.";
    DB_WAIT = metric::DB_CLIENT_CONNECTION_WAIT_TIME, STATEMENT, "s", POOL,
        "Time that requests waited for a connection.";
    DB_USE = metric::DB_CLIENT_CONNECTION_USE_TIME, STATEMENT, "s", POOL,
        "Time that connections were held.";
    DB_REACHABLE = "db.client.server.reachable", Kind::Gauge, "1", &[],
        "Whether the database answers: 1 or 0.";

    PROCESS_CPU = metric::PROCESS_CPU_TIME, Kind::Sum, "s", &[attr::CPU_MODE],
        "CPU time of the process.";
    PROCESS_MEMORY = metric::PROCESS_MEMORY_USAGE, Kind::UpDown, "By", &[],
        "Resident memory of the process.";
    PROCESS_THREADS = metric::PROCESS_THREAD_COUNT, Kind::UpDown, "{thread}", &[],
        "Threads of the process.";
    PROCESS_FILES = metric::PROCESS_UNIX_FILE_DESCRIPTOR_COUNT, Kind::UpDown, "{file_descriptor}", &[],
        "Open file descriptors of the process.";
    PROCESS_UPTIME = metric::PROCESS_UPTIME, Kind::Gauge, "s", &[],
        "Time since the process started.";

    TASK_TIME = "tokio.task.time", REQUEST, "s", &[attribute::TASK_STATE, attribute::ROOT_FIELD],
        "Time of the tasks of GraphQL operations, by what it was spent on: busy, inside a poll; \
         scheduled, woken and waiting for a worker; idle, waiting for I/O.";
    SLOW_POLLS = "tokio.slow_polls", Kind::Counter, "{poll}", &[attribute::ROOT_FIELD],
        "Polls that held a worker for too long (10 ms unless set otherwise), by the root field of \
         the operation; _RUNTIME for what is no operation.";

    SPANS_PROCESSED = metric::OTEL_SDK_PROCESSOR_SPAN_PROCESSED, Kind::Counter, "{span}", SDK,
        "Spans handed to the exporter, or dropped.";
    SPANS_EXPORTED = metric::OTEL_SDK_EXPORTER_SPAN_EXPORTED, Kind::Counter, "{span}", SDK,
        "Spans that were exported, or failed to be.";
    LOGS_PROCESSED = metric::OTEL_SDK_PROCESSOR_LOG_PROCESSED, Kind::Counter, "{log_record}", SDK,
        "Log records handed to the exporter, or dropped.";
    LOGS_EXPORTED = metric::OTEL_SDK_EXPORTER_LOG_EXPORTED, Kind::Counter, "{log_record}", SDK,
        "Log records that were exported, or failed to be.";
    POINTS_EXPORTED = metric::OTEL_SDK_EXPORTER_METRIC_DATA_POINT_EXPORTED, Kind::Counter,
        "{data_point}", SDK,
        "Metric data points that were exported, or failed to be.";
}

type Metrics = &'static [&'static Metric];

static REGISTERED: RwLock<Vec<Metrics>> = RwLock::new(Vec::new());

/// Adds metrics of an application or a library, before telemetry is installed.
pub(crate) fn register(metrics: Metrics) {
    REGISTERED.write().unwrap_or_else(PoisonError::into_inner).push(metrics);
}

/// Returns every metric in the catalog: those of this crate and of `runtime-insight`, and those that the
/// application has added.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner).clone();
    [OWN, runtime::CATALOG].into_iter().chain(registered).flatten().copied()
}

/// Returns the metric with this name.
pub(crate) fn find(name: &str) -> Option<&'static Metric> {
    all().find(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use metrics::Label;

    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names = HashSet::new();
        for metric in all() {
            assert!(names.insert(metric.name), "{} is there twice", metric.name);
        }
    }

    #[test]
    #[should_panic(expected = "does not declare the attribute secret")]
    fn an_undeclared_attribute_panics() {
        let _ = GRAPHQL_ERRORS.counter(vec![Label::new("secret", "x")]);
    }
}
