//! SQL: a span and two metrics for each statement, and the pool's metrics. Every statement goes
//! through a [`Session`] or a [`Transaction`], which know whose doing it is.
//!
//! The pool stands behind a gate of its size, so that waiting for a connection, holding one and
//! the number of those who wait are measured in one place; the pool behind it never makes anyone
//! wait except for a connection to be opened.

mod comment;
mod summary;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

pub use comment::CommentMode;
use metrics::{Counter, Gauge, Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as SpanApi, SpanKind, Status, Tracer},
};
use opentelemetry_sdk::trace::Span;
use opentelemetry_semantic_conventions::attribute as attr;
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    ExecResult, QueryResult, Statement, TransactionOptions, TransactionTrait, prelude::async_trait,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    exception,
    export::traces::tracer,
    graphql::Scope,
    names::{
        DB_CONNECTIONS, DB_CONNECTIONS_MAX, DB_DURATION, DB_PENDING, DB_ROWS, DB_TIMEOUTS, DB_USE,
        DB_WAIT,
    },
};
use crate::error::DatabaseFault;

/// A shorter wait for a connection is not worth a span.
const WORTH_A_SPAN: Duration = Duration::from_millis(1);
/// Texts of statements whose summary is remembered. The texts are the code's own, and far fewer.
const KNOWN_STATEMENTS: usize = 1024;

/// What the telemetry of a pool says of its database.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Names the pool among the process's pools.
    pub name: &'static str,
    /// The database's name, or its file's.
    pub namespace: String,
    /// Host and port of a server.
    pub server: Option<(String, u16)>,
    /// Connections at most.
    pub size: usize,
    /// How long to wait for one.
    pub wait: Duration,
    /// Which comments to add to statements.
    pub comments: CommentMode,
}

/// A pool of connections. Clones share it.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    connection: DatabaseConnection,
    options: PoolOptions,
    gate: Arc<Semaphore>,
    metrics: PoolMetrics,
    known: RwLock<HashMap<String, Arc<Known>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.0.options).finish()
    }
}

struct PoolMetrics {
    used: Gauge,
    idle: Gauge,
    pending: Gauge,
    timeouts: Counter,
    wait: Histogram,
    use_time: Histogram,
}

impl PoolMetrics {
    fn new(options: &PoolOptions) -> Self {
        let pool = || vec![Label::new(attr::DB_CLIENT_CONNECTION_POOL_NAME, options.name)];
        let connections = |state: &'static str| {
            let mut labels = pool();
            labels.push(Label::new(attr::DB_CLIENT_CONNECTION_STATE, state));
            DB_CONNECTIONS.gauge(labels)
        };
        #[expect(clippy::cast_precision_loss, reason = "a thousand at most")]
        DB_CONNECTIONS_MAX.gauge(pool()).set(options.size as f64);
        Self {
            used: connections("used"),
            idle: connections("idle"),
            pending: DB_PENDING.gauge(pool()),
            timeouts: DB_TIMEOUTS.counter(pool()),
            wait: DB_WAIT.histogram(pool()),
            use_time: DB_USE.histogram(pool()),
        }
    }
}

impl Pool {
    /// Measures `connection`.
    #[must_use]
    pub fn new(connection: DatabaseConnection, options: PoolOptions) -> Self {
        Self(Arc::new(Shared {
            gate: Arc::new(Semaphore::new(options.size)),
            metrics: PoolMetrics::new(&options),
            known: RwLock::default(),
            connection,
            options,
        }))
    }

    /// For statements that are the doing of `parent`; without one they are measured but not
    /// traced.
    #[must_use]
    pub fn session(&self, parent: Option<&Context>) -> Session<'_> {
        Session { pool: self, parent: parent.cloned() }
    }

    /// Begins a transaction that is the doing of `parent`.
    ///
    /// # Errors
    /// If no connection can be had in time, or the database refuses.
    pub async fn begin(
        &self,
        parent: Option<&Context>,
        options: TransactionOptions,
    ) -> Result<Transaction, DbErr> {
        let held = self.acquire(parent).await?;
        let running = self.start("BEGIN", parent);
        let result = self.0.connection.begin_with_options(options).await;
        running.end(&result, None);
        Ok(Transaction { inner: result?, pool: self.clone(), parent: parent.cloned(), held })
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// If there is none.
    pub async fn ping(&self) -> Result<(), DbErr> {
        let _held = self.acquire(None).await?;
        self.0.connection.ping().await
    }

    /// Closes all connections.
    ///
    /// # Errors
    /// If one cannot be closed.
    pub async fn close(&self) -> Result<(), DbErr> {
        self.0.connection.clone().close().await
    }

    /// Records how many connections are open and idle.
    pub fn sample(&self) {
        let connection = &self.0.connection;
        let (open, idle) = if connection.get_database_backend() == DbBackend::Postgres {
            let pool = connection.get_postgres_connection_pool();
            (pool.size(), pool.num_idle())
        } else {
            let pool = connection.get_sqlite_connection_pool();
            (pool.size(), pool.num_idle())
        };
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(open);
        self.0.metrics.idle.set(f64::from(idle));
    }

    async fn acquire(&self, parent: Option<&Context>) -> Result<Held, DbErr> {
        let Shared { gate, metrics, options, .. } = &*self.0;
        let asked = Instant::now();
        if let Ok(permit) = gate.clone().try_acquire_owned() {
            metrics.wait.record(asked.elapsed().as_secs_f64());
            return Ok(Held::new(self.clone(), permit));
        }
        let began = SystemTime::now();
        metrics.pending.increment(1);
        let pending = OnDrop(|| metrics.pending.decrement(1));
        let permit = tokio::time::timeout(options.wait, gate.clone().acquire_owned()).await;
        drop(pending);
        let waited = asked.elapsed();
        metrics.wait.record(waited.as_secs_f64());
        let result = match permit {
            Ok(Ok(permit)) => Ok(Held::new(self.clone(), permit)),
            Ok(Err(_)) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
            Err(_) => {
                metrics.timeouts.increment(1);
                Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))
            }
        };
        if waited > WORTH_A_SPAN {
            self.wait_span(parent, began, result.as_ref().err());
        }
        result
    }

    fn wait_span(&self, parent: Option<&Context>, began: SystemTime, error: Option<&DbErr>) {
        let (Some(tracer), Some(parent)) = (tracer(), parent) else { return };
        let name = self.0.options.name;
        let mut span = tracer
            .span_builder("db.pool.acquire")
            .with_start_time(began)
            .with_attributes([KeyValue::new(attr::DB_CLIENT_CONNECTION_POOL_NAME, name)])
            .start_with_context(tracer, parent);
        if let Some(error) = error {
            fail(&mut span, &DatabaseFault::from(error));
        }
        span.end();
    }

    fn start(&self, sql: &str, parent: Option<&Context>) -> Running {
        let known = self.known(sql);
        let span = tracer().zip(parent).map(|(tracer, parent)| {
            tracer
                .span_builder(known.summary)
                .with_kind(SpanKind::Client)
                .with_attributes(known.attributes.iter().cloned())
                .start_with_context(tracer, parent)
        });
        Running { span, known, started: Instant::now(), ended: false }
    }

    /// What is known of a statement by its text alone.
    fn known(&self, sql: &str) -> Arc<Known> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        known.unwrap_or_else(|| {
            let new = Arc::new(Known::new(sql, self));
            let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() < KNOWN_STATEMENTS {
                known.insert(sql.to_owned(), new.clone());
            }
            new
        })
    }

    /// Runs a statement on a connection that is held.
    async fn run<T: Given>(
        &self,
        parent: Option<&Context>,
        mut statement: Statement,
        execute: impl AsyncFnOnce(Statement) -> Result<T, DbErr>,
    ) -> Result<T, DbErr> {
        let running = self.start(&statement.sql, parent);
        let scope = parent.and_then(|parent| parent.get::<Scope>());
        if let Some(scope) = scope {
            scope.count_statement();
        }
        let span = running.span.as_ref().map(SpanApi::span_context);
        self.0.options.comments.add_to(&mut statement.sql, scope, span);
        let result = execute(statement).await;
        let rows = result.as_ref().ok().and_then(Given::rows);
        running.end(&result, rows);
        result
    }

    fn statement(&self, sql: &str) -> Statement {
        Statement::from_string(self.0.connection.get_database_backend(), sql)
    }
}

/// A connection's use: from the gate to its return.
struct Held {
    pool: Pool,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Held {
    fn new(pool: Pool, permit: OwnedSemaphorePermit) -> Self {
        pool.0.metrics.used.increment(1);
        Self { pool, since: Instant::now(), _permit: permit }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.0.metrics.used.decrement(1);
        self.pool.0.metrics.use_time.record(self.since.elapsed().as_secs_f64());
    }
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// What a statement's text tells.
struct Known {
    summary: &'static str,
    attributes: Vec<KeyValue>,
    labels: Vec<Label>,
    duration: Histogram,
    rows: Histogram,
}

impl Known {
    fn new(sql: &str, pool: &Pool) -> Self {
        let options = &pool.0.options;
        let summary = summary::Summary::of(sql);
        let system = match pool.0.connection.get_database_backend() {
            DbBackend::Postgres => "postgresql",
            _ => "sqlite",
        };
        let mut pairs = vec![
            (attr::DB_SYSTEM_NAME, system),
            (attr::DB_OPERATION_NAME, summary.operation),
            (attr::DB_QUERY_SUMMARY, summary.text),
        ];
        pairs.extend(summary.collection.map(|name| (attr::DB_COLLECTION_NAME, name)));
        let mut attributes: Vec<_> =
            pairs.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect();
        let mut labels: Vec<_> =
            pairs.iter().map(|(key, value)| Label::from_static_parts(key, value)).collect();
        let namespace: Arc<str> = options.namespace.as_str().into();
        labels.push(Label::new(attr::DB_NAMESPACE, namespace.clone()));
        attributes.push(KeyValue::new(attr::DB_NAMESPACE, namespace));
        attributes.push(KeyValue::new(attr::DB_QUERY_TEXT, Arc::<str>::from(sql)));
        if let Some((address, port)) = &options.server {
            let address: Arc<str> = address.as_str().into();
            attributes.push(KeyValue::new(attr::SERVER_ADDRESS, address));
            attributes.push(KeyValue::new(attr::SERVER_PORT, i64::from(*port)));
        }
        Self {
            summary: summary.text,
            attributes,
            duration: DB_DURATION.histogram(labels.clone()),
            rows: DB_ROWS.histogram(labels.clone()),
            labels,
        }
    }

    fn failed(&self, error_type: String) -> Histogram {
        let mut labels = self.labels.clone();
        labels.push(Label::new(attr::ERROR_TYPE, error_type));
        DB_DURATION.histogram(labels)
    }
}

/// A statement that is being executed.
struct Running {
    span: Option<Span>,
    known: Arc<Known>,
    started: Instant,
    ended: bool,
}

impl Running {
    fn end<T>(mut self, result: &Result<T, DbErr>, rows: Option<usize>) {
        self.ended = true;
        let took = self.started.elapsed().as_secs_f64();
        match result {
            Ok(_) => self.known.duration.record(took),
            Err(error) => {
                let fault = DatabaseFault::from(error);
                self.known.failed(fault.error_type().into_owned()).record(took);
                if let Some(span) = &mut self.span {
                    fail(span, &fault);
                }
            }
        }
        if let Some(rows) = rows {
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
            self.known.rows.record(rows as f64);
            if let Some(span) = &mut self.span {
                let rows = i64::try_from(rows).unwrap_or(i64::MAX);
                span.set_attribute(KeyValue::new(attr::DB_RESPONSE_RETURNED_ROWS, rows));
            }
        }
    }
}

impl Drop for Running {
    /// The span ends here. Where nobody waited for the statement's end, it says so.
    fn drop(&mut self) {
        const CANCELLED: &str = "cancelled";
        if !self.ended {
            self.known.failed(CANCELLED.to_owned()).record(self.started.elapsed().as_secs_f64());
            if let Some(span) = &mut self.span {
                span.set_attribute(KeyValue::new(attr::ERROR_TYPE, CANCELLED));
            }
        }
    }
}

/// Notes a failure. A broken constraint is how the catalogue learns of a client's mistake, and
/// turns nothing red.
fn fail(span: &mut Span, fault: &DatabaseFault) {
    span.set_attribute(KeyValue::new(attr::ERROR_TYPE, fault.error_type()));
    if let Some(status) = fault.status() {
        span.set_attribute(KeyValue::new(attr::DB_RESPONSE_STATUS_CODE, status.to_owned()));
    }
    if !fault.is_constraint() {
        span.set_status(Status::error(fault.to_string()));
        exception::record(span, fault);
    }
}

/// Statements on any connection of a pool, each on its own.
#[derive(Clone)]
pub struct Session<'a> {
    pool: &'a Pool,
    parent: Option<Context>,
}

/// Statements of one transaction. Rolled back if dropped.
pub struct Transaction {
    // Dropped before `held`: the connection is back before the next one may ask for it.
    inner: DatabaseTransaction,
    pool: Pool,
    parent: Option<Context>,
    held: Held,
}

impl Transaction {
    /// Makes the transaction's changes last.
    ///
    /// # Errors
    /// If they did not.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Self { inner, pool, parent, held } = self;
        let running = pool.start("COMMIT", parent.as_ref());
        let result = inner.commit().await;
        running.end(&result, None);
        drop(held);
        result
    }

    /// The transaction itself, for libraries that take no other.
    #[must_use]
    pub const fn inner(&self) -> &DatabaseTransaction {
        &self.inner
    }
}

/// What a statement gives back.
trait Given {
    /// How many rows, if it gives rows at all.
    fn rows(&self) -> Option<usize>;
}

impl Given for Option<QueryResult> {
    fn rows(&self) -> Option<usize> {
        Some(usize::from(self.is_some()))
    }
}

impl Given for Vec<QueryResult> {
    fn rows(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl Given for ExecResult {
    fn rows(&self) -> Option<usize> {
        None
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Session<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.0.connection.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let _held = self.pool.acquire(self.parent.as_ref()).await?;
        let connection = &self.pool.0.connection;
        let run = async |statement| connection.execute_raw(statement).await;
        self.pool.run(self.parent.as_ref(), statement, run).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let _held = self.pool.acquire(self.parent.as_ref()).await?;
        let connection = &self.pool.0.connection;
        let run = async |statement: Statement| connection.execute_unprepared(&statement.sql).await;
        self.pool.run(self.parent.as_ref(), self.pool.statement(sql), run).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let _held = self.pool.acquire(self.parent.as_ref()).await?;
        let connection = &self.pool.0.connection;
        let run = async |statement| connection.query_one_raw(statement).await;
        self.pool.run(self.parent.as_ref(), statement, run).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let _held = self.pool.acquire(self.parent.as_ref()).await?;
        let connection = &self.pool.0.connection;
        let run = async |statement| connection.query_all_raw(statement).await;
        self.pool.run(self.parent.as_ref(), statement, run).await
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let run = async |statement| self.inner.execute_raw(statement).await;
        self.pool.run(self.parent.as_ref(), statement, run).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let run = async |statement: Statement| self.inner.execute_unprepared(&statement.sql).await;
        self.pool.run(self.parent.as_ref(), self.pool.statement(sql), run).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let run = async |statement| self.inner.query_one_raw(statement).await;
        self.pool.run(self.parent.as_ref(), statement, run).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let run = async |statement| self.inner.query_all_raw(statement).await;
        self.pool.run(self.parent.as_ref(), statement, run).await
    }
}
