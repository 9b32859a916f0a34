//! GraphQL: the span of an operation with its phases, the spans of the fields that do I/O, the
//! spans of DataLoader batches, and their metrics.
//!
//! Field spans are bounded by the query and never by the data: one for each response path
//! without list indices, however long the lists.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use async_graphql::{QueryPathNode, QueryPathSegment, parser::types::OperationType};
use metrics::{Counter, Gauge, Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, Status, TraceContextExt, Tracer},
};
use opentelemetry_semantic_conventions::attribute as attr;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{
    exception,
    export::traces::tracer,
    names::{
        DATALOADER_BATCH, GRAPHQL_ACTIVE, GRAPHQL_DURATION, GRAPHQL_ERRORS, GRAPHQL_FIELD,
        GRAPHQL_PROCESSING, REQUEST_STATEMENTS, own,
    },
    runtime::Profile,
    series::Series,
};
use crate::error::{Code, Error};

/// Bytes of an operation's name that are told: clients choose them.
const LONGEST_NAME: usize = 256;

/// A part of an operation's processing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// From text to document.
    Parsing,
    /// The document against the schema.
    Validation,
    /// The resolvers.
    Execution,
}

impl Phase {
    const fn span_name(self) -> &'static str {
        match self {
            Self::Parsing => "GraphQL Document Parsing",
            Self::Validation => "GraphQL Document Validation",
            Self::Execution => "GraphQL Operation Execution",
        }
    }

    const fn processing_type(self) -> &'static str {
        match self {
            Self::Parsing => "parse",
            Self::Validation => "validate",
            Self::Execution => "execute",
        }
    }

    fn duration(self) -> Histogram {
        static DURATIONS: LazyLock<Series<Phase, Histogram>> = LazyLock::new(|| {
            Series::new(|phase: &Phase| {
                let kind = Label::new(own::PROCESSING_TYPE, phase.processing_type());
                GRAPHQL_PROCESSING.histogram(vec![kind])
            })
        });
        DURATIONS.of(self)
    }
}

const fn kind_name(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}

/// Counts an error of an answer.
pub fn count_error(code: Code) {
    static ERRORS: LazyLock<Series<Code, Counter>> = LazyLock::new(|| {
        Series::new(|code: &Code| {
            GRAPHQL_ERRORS.counter(vec![Label::new(attr::ERROR_TYPE, code.as_str())])
        })
    });
    ERRORS.of(code).increment(1);
}

/// Starts the counters at zero, so that a first error is a rise.
pub fn start_counters() {
    for code in Code::ALL {
        GRAPHQL_ERRORS.counter(vec![Label::new(attr::ERROR_TYPE, code.as_str())]).increment(0);
    }
}

/// Who asked, for what is done on an operation's behalf. Part of the context that its spans hang
/// below.
#[derive(Clone, Debug)]
pub struct Scope(Arc<ScopeState>);

#[derive(Debug)]
struct ScopeState {
    root_field: &'static str,
    route: &'static str,
    statements: AtomicU64,
}

impl Scope {
    /// Of an operation that came by `route`.
    #[must_use]
    pub fn new(root_field: &'static str, route: &'static str) -> Self {
        Self(Arc::new(ScopeState { root_field, route, statements: AtomicU64::new(0) }))
    }

    /// The coordinate of the root field.
    #[must_use]
    pub fn root_field(&self) -> &'static str {
        self.0.root_field
    }

    /// The HTTP route.
    #[must_use]
    pub fn route(&self) -> &'static str {
        self.0.route
    }

    /// Counts a statement.
    pub fn count_statement(&self) {
        self.0.statements.fetch_add(1, Ordering::Relaxed);
    }

    fn statements(&self) -> u64 {
        self.0.statements.load(Ordering::Relaxed)
    }
}

/// What an operation is, as soon as its document is understood.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Query or mutation.
    pub kind: OperationType,
    /// The coordinate of its root field.
    pub root_field: &'static str,
    /// What the client calls it.
    pub name: Option<String>,
    /// Names its document.
    pub hash: String,
    /// Whether the document was known and not parsed.
    pub is_known: bool,
}

/// An operation that is being processed. Ends its span and records its metrics, also when it is
/// dropped because nobody waits for it any more.
#[derive(Debug)]
pub struct Operation {
    span: Span,
    context: Context,
    came: SystemTime,
    started: Instant,
    identity: Option<Identity>,
    scope: Option<Scope>,
    active: Option<Active>,
    outcome: Option<&'static str>,
}

impl Operation {
    /// An operation of which nothing is known yet.
    #[must_use]
    pub fn start() -> Self {
        let (came, started) = (SystemTime::now(), Instant::now());
        let span = info_span!("GraphQL Operation", otel.kind = "internal");
        let context = span.context();
        Self {
            span,
            context,
            came,
            started,
            identity: None,
            scope: None,
            active: None,
            outcome: None,
        }
    }

    /// The operation's span, for the log lines of its task.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// When it came.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Tells what the operation is.
    pub fn identify(&mut self, identity: Identity, route: &'static str) {
        let kind = kind_name(identity.kind);
        let span = self.context.span();
        if span.is_recording() {
            // Not by the layer of `tracing`, which does not change the name of a span that has begun.
            span.update_name(kind);
            span.set_attribute(KeyValue::new(attr::GRAPHQL_OPERATION_TYPE, kind));
            span.set_attribute(KeyValue::new(own::ROOT_FIELD, identity.root_field));
            span.set_attribute(KeyValue::new(own::DOCUMENT_HASH, identity.hash.clone()));
            if identity.is_known {
                span.set_attribute(KeyValue::new(own::DOCUMENT_CACHED, true));
            }
            if let Some(name) = &identity.name {
                let name = name[..name.floor_char_boundary(LONGEST_NAME)].to_owned();
                span.set_attribute(KeyValue::new(attr::GRAPHQL_OPERATION_NAME, name));
            }
        }
        self.scope = Some(Scope::new(identity.root_field, route));
        self.active = Some(Active::new(identity.kind));
        self.identity = Some(identity);
    }

    /// Tells the text of its document, without literals.
    pub fn document(&self, text: &str) {
        let span = self.context.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new(attr::GRAPHQL_DOCUMENT, text.to_owned()));
        }
    }

    /// Does the work of a phase that is done at once.
    pub fn phase<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let _running = Running::start(phase, &self.context);
        work()
    }

    /// Begins the execution.
    #[must_use]
    pub fn execution(&self) -> Arc<Execution> {
        let context = match &self.scope {
            Some(scope) => self.context.with_value(scope.clone()),
            None => self.context.clone(),
        };
        let running = Running::start(Phase::Execution, &context);
        Arc::new(Execution { running, fields: Mutex::default(), hasher: RandomState::new() })
    }

    /// Tells of a fault of the service that arose in no resolver.
    pub fn fault(&self, error: &Error) {
        exception::record(&mut self.context.span(), error);
    }

    /// Ends the operation with the errors of its answer.
    pub fn end(mut self, errors: &[Code], profile: Option<&Profile>) {
        let fault = errors.iter().find(|code| code.is_server_fault());
        let code = fault.or(errors.first()).map(|code| code.as_str());
        self.outcome = Some(code.unwrap_or_default());
        let span = self.context.span();
        let count = i64::try_from(errors.len()).unwrap_or(i64::MAX);
        span.set_attribute(KeyValue::new(own::ERROR_COUNT, count));
        if let Some(code) = code {
            span.set_attribute(KeyValue::new(attr::ERROR_TYPE, code));
        }
        if let Some(fault) = fault {
            span.set_status(Status::error(fault.as_str()));
        }
        if let (Some(profile), Some(identity)) = (profile, &self.identity) {
            profile.record(&span, identity.root_field);
            // Its work ended with its last poll, before anything was told of it.
            span.end_with_timestamp(self.came + profile.total());
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        /// The client went away, and the query with it.
        const CANCELLED: &str = "CANCELLED";
        if self.outcome.is_none() {
            self.context.span().set_attribute(KeyValue::new(attr::ERROR_TYPE, CANCELLED));
        }
        let error = Some(self.outcome.unwrap_or(CANCELLED)).filter(|code| !code.is_empty());
        let identity = self.identity.as_ref();
        let key = (identity.map(|i| kind_name(i.kind)), identity.map(|i| i.root_field), error);
        durations().of(key).record(self.started.elapsed().as_secs_f64());
        if let Some(scope) = &self.scope {
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
            statements().of(scope.root_field()).record(scope.statements() as f64);
        }
    }
}

type OperationKey = (Option<&'static str>, Option<&'static str>, Option<&'static str>);

fn durations() -> &'static Series<OperationKey, Histogram> {
    static DURATIONS: LazyLock<Series<OperationKey, Histogram>> = LazyLock::new(|| {
        Series::new(|(kind, root_field, error): &OperationKey| {
            let pairs = [
                (attr::GRAPHQL_OPERATION_TYPE, *kind),
                (own::ROOT_FIELD, *root_field),
                (attr::ERROR_TYPE, *error),
            ];
            let label = |(key, value): (&'static str, Option<&'static str>)| {
                value.map(|value| Label::from_static_parts(key, value))
            };
            GRAPHQL_DURATION.histogram(pairs.into_iter().filter_map(label).collect())
        })
    });
    &DURATIONS
}

fn statements() -> &'static Series<&'static str, Histogram> {
    static STATEMENTS: LazyLock<Series<&'static str, Histogram>> = LazyLock::new(|| {
        Series::new(|root_field: &&'static str| {
            REQUEST_STATEMENTS.histogram(vec![Label::new(own::ROOT_FIELD, *root_field)])
        })
    });
    &STATEMENTS
}

/// An operation among the active ones.
#[derive(Debug)]
struct Active(Gauge);

impl Active {
    fn new(kind: OperationType) -> Self {
        static ACTIVE: LazyLock<Series<&'static str, Gauge>> = LazyLock::new(|| {
            Series::new(|kind: &&'static str| {
                GRAPHQL_ACTIVE.gauge(vec![Label::new(attr::GRAPHQL_OPERATION_TYPE, *kind)])
            })
        });
        let gauge = ACTIVE.of(kind_name(kind));
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// A phase that is going on; over when dropped.
struct Running {
    phase: Phase,
    started: Instant,
    context: Context,
}

impl Running {
    fn start(phase: Phase, parent: &Context) -> Self {
        let context = child(parent, phase.span_name().into(), Vec::new(), || {
            vec![KeyValue::new(own::PROCESSING_TYPE, phase.processing_type())]
        });
        Self { phase, started: Instant::now(), context }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.phase.duration().record(self.started.elapsed().as_secs_f64());
        self.context.span().end();
    }
}

/// `parent` with a new span in it, or as it is if nothing is traced.
fn child(
    parent: &Context,
    name: Cow<'static, str>,
    links: Vec<Link>,
    attributes: impl FnOnce() -> Vec<KeyValue>,
) -> Context {
    let Some(tracer) = tracer() else { return parent.clone() };
    let mut builder = tracer.span_builder(name);
    if parent.span().is_recording() {
        builder = builder.with_attributes(attributes()).with_links(links);
    }
    parent.with_span(builder.start_with_context(tracer, parent))
}

/// The execution of an operation and the spans of its fields, which end with it.
pub struct Execution {
    running: Running,
    fields: Mutex<HashMap<u64, Arc<Field>>>,
    hasher: RandomState,
}

impl Execution {
    /// A call of `field` of `parent_type`, whose value goes to `path`: there, an alias that the
    /// client chose may stand for the field's name.
    pub fn call(&self, parent_type: &'static str, field: &str, path: &QueryPathNode<'_>) -> Call {
        let key = self.key(path);
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        let field = fields.entry(key).or_insert_with(|| {
            Arc::new(Field::new(parent_type, field, path, &self.running.context))
        });
        Call { field: field.clone(), started: Instant::now(), failed: false }
    }

    /// A path's hash; list indices do not count.
    fn key(&self, path: &QueryPathNode<'_>) -> u64 {
        let mut node = Some(path);
        let mut key = 0;
        while let Some(QueryPathNode { parent, segment }) = node {
            if let QueryPathSegment::Name(name) = segment {
                key = self.hasher.hash_one((key, name));
            }
            node = *parent;
        }
        key
    }

    /// Tells of a fault of the service that arose in no field.
    pub fn fault(&self, error: &Error) {
        exception::record(&mut self.running.context.span(), error);
        self.fail(error.code());
    }

    /// Marks the execution as failed by a fault of the service.
    pub fn fail(&self, code: Code) {
        self.running.context.span().set_status(Status::error(code.as_str()));
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        let fields = self.fields.get_mut().unwrap_or_else(PoisonError::into_inner);
        for field in fields.values() {
            field.end();
        }
    }
}

/// All calls of a field at one response path, whatever the list indices.
#[derive(Debug)]
pub struct Field {
    context: Context,
    duration: Histogram,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    count: u64,
    errors: u64,
    longest: Duration,
    last: Option<SystemTime>,
    told: bool,
}

impl Field {
    fn new(
        parent_type: &'static str,
        name: &str,
        path: &QueryPathNode<'_>,
        parent: &Context,
    ) -> Self {
        let coordinate = coordinate(parent_type, name);
        let context = child(parent, coordinate.into(), Vec::new(), || {
            vec![
                KeyValue::new(own::FIELD_NAME, name.to_owned()),
                KeyValue::new(own::FIELD_PARENT, parent_type),
                KeyValue::new(own::FIELD_COORDINATE, coordinate),
                KeyValue::new(own::SELECTION_PATH, without_indices(path)),
            ]
        });
        Self { context, duration: field_durations().of(coordinate), calls: Mutex::default() }
    }

    /// What its statements and batches hang below.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// A field of no operation.
    #[cfg(test)]
    #[must_use]
    pub fn untraced() -> Self {
        Self { context: Context::new(), duration: Histogram::noop(), calls: Mutex::default() }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let calls = self.calls();
        let span = self.context.span();
        if span.is_recording() {
            let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            span.set_attribute(KeyValue::new(own::FIELD_CALLS, count(calls.count)));
            span.set_attribute(KeyValue::new(own::FIELD_ERRORS, count(calls.errors)));
            let longest = calls.longest.as_secs_f64();
            span.set_attribute(KeyValue::new(own::FIELD_DURATION_MAX, longest));
        }
        span.end_with_timestamp(calls.last.unwrap_or_else(SystemTime::now));
    }
}

fn field_durations() -> &'static Series<&'static str, Histogram> {
    static DURATIONS: LazyLock<Series<&'static str, Histogram>> = LazyLock::new(|| {
        Series::new(|coordinate: &&'static str| {
            GRAPHQL_FIELD.histogram(vec![Label::new(own::FIELD_COORDINATE, *coordinate)])
        })
    });
    &DURATIONS
}

/// `Type.field`, kept for good: the schema has some dozens.
fn coordinate(parent_type: &str, field: &str) -> &'static str {
    static KNOWN: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let coordinate = format!("{parent_type}.{field}");
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(coordinate.as_str()) {
        return known;
    }
    let coordinate: &'static str = coordinate.leak();
    known.insert(coordinate);
    coordinate
}

fn without_indices(path: &QueryPathNode<'_>) -> String {
    let mut names = Vec::new();
    let mut node = Some(path);
    while let Some(QueryPathNode { parent, segment }) = node {
        if let QueryPathSegment::Name(name) = segment {
            names.push(*name);
        }
        node = *parent;
    }
    names.reverse();
    names.join(".")
}

/// One call of a field; over when dropped.
pub struct Call {
    field: Arc<Field>,
    started: Instant,
    failed: bool,
}

impl Call {
    /// The field that is called.
    #[must_use]
    pub fn field(&self) -> &Arc<Field> {
        &self.field
    }

    /// Ends the call with its result.
    ///
    /// # Errors
    /// Those of the result.
    pub fn end<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            self.fail(error);
        }
        result
    }

    fn fail(&mut self, error: &Error) {
        self.failed = true;
        if !error.code().is_server_fault() {
            return;
        }
        let mut span = self.field.context.span();
        span.set_status(Status::error(error.code().as_str()));
        // What a statement failed with is told by the statement's span.
        let is_new = !std::mem::replace(&mut self.field.calls().told, true);
        if is_new && !matches!(error, Error::Database(_)) {
            exception::record(&mut span, error);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.field.duration.record(took.as_secs_f64());
        let mut calls = self.field.calls();
        calls.count += 1;
        calls.errors += u64::from(self.failed);
        calls.longest = calls.longest.max(took);
        calls.last = Some(SystemTime::now());
    }
}

/// The fields that asked for a batch, each once.
#[derive(Debug, Default)]
pub struct Askers(Vec<Arc<Field>>);

impl Askers {
    /// Adds a field.
    pub fn add(&mut self, field: &Arc<Field>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, field)) {
            self.0.push(field.clone());
        }
    }

    /// Starts the span of their batch, which hangs below the field that asked first.
    #[must_use]
    pub fn batch(&self, loader: &'static str, keys: usize) -> Batch {
        static SIZES: LazyLock<Series<&'static str, Histogram>> = LazyLock::new(|| {
            Series::new(|loader: &&'static str| {
                DATALOADER_BATCH.histogram(vec![Label::new(own::DATALOADER, *loader)])
            })
        });
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
        SIZES.of(loader).record(keys as f64);
        let parent = self.0.first().map(|field| field.context.clone()).unwrap_or_default();
        let link =
            |field: &Arc<Field>| Link::with_context(field.context.span().span_context().clone());
        let links = self.0.iter().map(link).collect();
        let name = format!("GraphQL DataLoader Batch {loader}").into();
        let context = child(&parent, name, links, || {
            let keys = i64::try_from(keys).unwrap_or(i64::MAX);
            vec![KeyValue::new(own::DATALOADER, loader), KeyValue::new(own::BATCH_SIZE, keys)]
        });
        Batch(context)
    }
}

/// A batch that is being loaded; over when dropped.
#[derive(Debug)]
pub struct Batch(Context);

impl Batch {
    /// What the batch's statements hang below.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.0
    }

    /// Notes that it failed.
    pub fn fail(&self, error: &Error) {
        if error.code().is_server_fault() {
            self.0.span().set_status(Status::error(error.code().as_str()));
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.0.span().end();
    }
}
