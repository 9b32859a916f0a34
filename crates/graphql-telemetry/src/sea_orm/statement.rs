//! The span and the metrics of a statement.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use foldhash::fast::RandomState;
use metrics::{Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, SpanContext, SpanKind, SpanRef, Status, TraceContextExt},
};
use opentelemetry_semantic_conventions::attribute as attr;
use sea_orm::{DbBackend, DbErr, Statement};
use url::Url;

use super::{
    CommentMode,
    fault::{DatabaseFault, FaultClass},
    literals::without_literals,
    summary::Summary,
};
use crate::{
    catalog::{DB_DURATION, DB_ROWS},
    exception,
    graphql::{Scope, current_context},
    traces,
};

/// Texts of statements whose summary is remembered. The texts are the code's own, and far fewer.
const MAX_STATEMENTS: usize = 1024;

/// What the telemetry of statements says of their database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// The database's name, or its file's.
    pub namespace: String,
    /// Host and port of a server.
    pub server: Option<(String, u16)>,
}

/// From a connection's URL, of which neither the user nor the password are kept.
impl From<&str> for DatabaseInfo {
    fn from(url: &str) -> Self {
        let Ok(parsed) = Url::parse(url) else {
            // `sqlite::memory:` and the like.
            let file = url.split_once(':').map_or(url, |(_, file)| file);
            return Self { namespace: file.to_owned(), server: None };
        };
        let default_port = match parsed.scheme() {
            "postgres" | "postgresql" => 5432,
            "mysql" | "mariadb" => 3306,
            _ => {
                let path = parsed.path();
                let file = path.rsplit('/').next().filter(|file| !file.is_empty());
                let namespace = file.unwrap_or(path).to_owned();
                return Self { namespace, server: None };
            }
        };
        let host = parsed.host_str().unwrap_or("localhost").to_owned();
        Self {
            namespace: parsed.path().trim_start_matches('/').to_owned(),
            server: Some((host, parsed.port().unwrap_or(default_port))),
        }
    }
}

/// The statements of a database, with what follows from the text of each. Clones share it.
#[derive(Clone)]
pub struct Statements {
    known: Arc<Known>,
    comments: CommentMode,
}

struct Known {
    backend: DbBackend,
    database: DatabaseInfo,
    infos: RwLock<HashMap<String, Arc<StatementInfo>, RandomState>>,
}

impl Statements {
    /// Returns the statements of a database of this kind.
    #[must_use]
    pub fn new(backend: DbBackend, database: DatabaseInfo) -> Self {
        let known = Known { backend, database, infos: RwLock::default() };
        Self { known: Arc::new(known), comments: CommentMode::Off }
    }

    /// Returns the same, each with a comment when it is executed.
    #[must_use]
    pub fn with_comments(mut self, mode: CommentMode) -> Self {
        self.comments = mode;
        self
    }

    /// Starts the clock of a statement, and a span if it has a parent.
    #[must_use]
    pub fn start(&self, sql: &str, parent: Option<&Context>) -> StatementSpan {
        StatementSpan::start(self.info(sql, true), parent)
    }

    /// The same, and counts it among those of its operation, and adds a comment where these are wanted.
    #[must_use]
    pub fn start_with_comment(
        &self,
        parent: Option<&Context>,
        statement: &mut Statement,
    ) -> StatementSpan {
        let has_parameters = statement.values.is_some();
        let span = StatementSpan::start(self.info(&statement.sql, has_parameters), parent);
        let scope = parent.and_then(|parent| parent.get::<Scope>());
        if let Some(scope) = scope {
            scope.count_statement();
        }
        self.comments.add_to(&mut statement.sql, scope, span.span_context().as_ref());
        span
    }

    /// Executes a statement by `run`, with a span and its metrics; `rows` counts the rows of a
    /// result.
    ///
    /// # Errors
    /// Those of `run`.
    pub async fn run<T, F>(
        &self,
        parent: Option<&Context>,
        mut statement: Statement,
        run: impl FnOnce(Statement) -> F + Send,
        rows: impl FnOnce(&T) -> Option<usize> + Send,
    ) -> Result<T, DbErr>
    where
        T: Send,
        F: Future<Output = Result<T, DbErr>> + Send,
    {
        let span = self.start_with_comment(parent, &mut statement);
        let result = run(statement).await;
        let rows = result.as_ref().ok().and_then(rows);
        span.end(&result, rows);
        result
    }

    /// What is known of a statement, whose text is without values if it `has_parameters` for them.
    fn info(&self, sql: &str, has_parameters: bool) -> Arc<StatementInfo> {
        let Known { backend, database, infos } = &*self.known;
        let known = infos.read().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        known.unwrap_or_else(|| {
            let new = Arc::new(StatementInfo::new(sql, has_parameters, *backend, database));
            let mut known = infos.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() < MAX_STATEMENTS {
                known.insert(sql.to_owned(), new.clone());
            }
            new
        })
    }
}

/// What follows from a statement's text.
struct StatementInfo {
    summary: &'static str,
    attributes: Vec<KeyValue>,
    labels: Vec<Label>,
    duration: Histogram,
    rows: Histogram,
}

impl StatementInfo {
    fn new(sql: &str, has_parameters: bool, backend: DbBackend, database: &DatabaseInfo) -> Self {
        let summary = Summary::of(sql);
        let system = match backend {
            DbBackend::MySql => "mysql",
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
        let namespace: Arc<str> = database.namespace.as_str().into();
        labels.push(Label::new(attr::DB_NAMESPACE, namespace.clone()));
        attributes.push(KeyValue::new(attr::DB_NAMESPACE, namespace));
        let text = if has_parameters { sql.into() } else { without_literals(sql) };
        attributes.push(KeyValue::new(attr::DB_QUERY_TEXT, Arc::<str>::from(text)));
        if let Some((address, port)) = &database.server {
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

    fn span(&self) -> SpanBuilder {
        SpanBuilder::from_name(self.summary).with_kind(SpanKind::Client)
    }

    fn failed(&self, error_type: String) -> Histogram {
        let mut labels = self.labels.clone();
        labels.push(Label::new(attr::ERROR_TYPE, error_type));
        DB_DURATION.histogram(labels)
    }
}

/// In a parent's context: only statements that take this long, or fail, have spans. For work of
/// thousands of statements, such as an import, whose trace would otherwise be too large to read.
#[derive(Clone, Copy, Debug)]
pub struct OnlySlow(pub Duration);

impl OnlySlow {
    /// Returns the current context with this limit, or none where nothing is traced.
    #[must_use]
    pub fn than(limit: Duration) -> Option<Context> {
        current().map(|context| context.with_value(Self(limit)))
    }
}

/// Returns the current context, or none where nothing is traced.
#[must_use]
pub fn current() -> Option<Context> {
    Some(current_context()).filter(Context::has_active_span)
}

/// A statement that is being executed.
pub struct StatementSpan {
    /// With its span.
    context: Option<Context>,
    /// The parent, until it is known whether there is a span.
    undecided: Option<(Context, Duration)>,
    info: Arc<StatementInfo>,
    started: Instant,
    ended: bool,
}

impl StatementSpan {
    fn start(info: Arc<StatementInfo>, parent: Option<&Context>) -> Self {
        let parent = parent.filter(|_| traces::enabled());
        let undecided = parent.and_then(|parent| {
            let OnlySlow(limit) = parent.get()?;
            Some((parent.clone(), *limit))
        });
        let traced = parent.filter(|_| undecided.is_none());
        let context = traced.map(|parent| {
            traces::start_span(info.span(), parent, || info.attributes.iter().cloned())
        });
        Self { context, undecided, info, started: Instant::now(), ended: false }
    }

    /// Decides whether the statement has a span, if that is not yet decided.
    fn decide(&mut self, took: Duration, failed: bool) {
        if let Some((parent, limit)) = self.undecided.take()
            && (failed || took >= limit)
        {
            let span = self.info.span().with_start_time(SystemTime::now() - took);
            let attributes = || self.info.attributes.iter().cloned();
            self.context = Some(traces::start_span(span, &parent, attributes));
        }
    }

    /// Names the span, if there is one.
    #[must_use]
    pub fn span_context(&self) -> Option<SpanContext> {
        self.span().map(|span| span.span_context().clone())
    }

    fn span(&self) -> Option<SpanRef<'_>> {
        self.context.as_ref().map(Context::span)
    }

    /// Ends it with its result and the number of rows it gave.
    pub fn end<T>(mut self, result: &Result<T, DbErr>, rows: Option<usize>) {
        self.ended = true;
        let took = self.started.elapsed();
        self.decide(took, result.is_err());
        let took = took.as_secs_f64();
        match result {
            Ok(_) => self.info.duration.record(took),
            Err(error) => {
                let fault = DatabaseFault::from(error);
                self.info.failed(fault.error_type().into_owned()).record(took);
                if let Some(span) = &mut self.span() {
                    fail(span, &fault);
                }
            }
        }
        if let Some(rows) = rows {
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
            self.info.rows.record(rows as f64);
            if let Some(span) = self.span() {
                let rows = i64::try_from(rows).unwrap_or(i64::MAX);
                span.set_attribute(KeyValue::new(attr::DB_RESPONSE_RETURNED_ROWS, rows));
            }
        }
    }
}

impl Drop for StatementSpan {
    /// The span ends here. Where nobody waited for the statement's end, it says so.
    fn drop(&mut self) {
        const CANCELLED: &str = "cancelled";
        if !self.ended {
            self.decide(self.started.elapsed(), true);
            self.info.failed(CANCELLED.to_owned()).record(self.started.elapsed().as_secs_f64());
            if let Some(span) = self.span() {
                span.set_attribute(KeyValue::new(attr::ERROR_TYPE, CANCELLED));
            }
        }
        if let Some(span) = self.span() {
            span.end();
        }
    }
}

/// Records a failure. A broken constraint is mostly a mistake of a client, and does not set the
/// span's status to ERROR.
pub fn fail(span: &mut SpanRef<'_>, fault: &DatabaseFault) {
    span.set_attribute(KeyValue::new(attr::ERROR_TYPE, fault.error_type()));
    if let Some(status) = fault.status() {
        span.set_attribute(KeyValue::new(attr::DB_RESPONSE_STATUS_CODE, status.to_owned()));
    }
    if fault.class() != FaultClass::Constraint {
        span.set_status(Status::error(fault.to_string()));
        exception::record(span, fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_name() {
        for (backend, system) in [
            (DbBackend::MySql, "mysql"),
            (DbBackend::Postgres, "postgresql"),
            (DbBackend::Sqlite, "sqlite"),
        ] {
            let info = StatementInfo::new("SELECT 1", true, backend, &DatabaseInfo::default());
            let name = info.attributes.iter().find(|it| it.key.as_str() == attr::DB_SYSTEM_NAME);
            assert_eq!(name.map(|name| name.value.as_str()), Some(system.into()));
        }
    }

    #[test]
    fn names_a_database_by_its_url() {
        let server = |host: &str, port| Some((host.to_owned(), port));
        for (url, namespace, expected) in [
            ("postgres://shop:s3cret@db.example/orders", "orders", server("db.example", 5432)),
            ("postgresql://db:6432/orders?sslmode=require", "orders", server("db", 6432)),
            ("mysql://root@db/orders", "orders", server("db", 3306)),
            ("sqlite:///var/lib/shop/orders.db?mode=rwc", "orders.db", None),
            ("sqlite:orders.db", "orders.db", None),
            ("sqlite::memory:", ":memory:", None),
        ] {
            let info = DatabaseInfo::from(url);
            assert_eq!((info.namespace.as_str(), info.server), (namespace, expected), "{url}");
        }
    }
}
