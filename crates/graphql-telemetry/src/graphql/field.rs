//! The spans of fields that do I/O: one for each response path without list indices.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use async_graphql::{QueryPathNode, QueryPathSegment};
use metrics::{Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, Status, TraceContextExt},
};

use runtime_insight::Section;

use super::{ErrorCode, OperationError, Phase, PhaseSpan};
use crate::{
    attribute, catalog::GRAPHQL_FIELD, exception, handle_cache::HandleCache, text::client_text,
    text::intern, traces::start_span,
};

/// A span that is made so much later than what it is of began is given its start.
const MAX_DELAY: Duration = Duration::from_micros(50);

/// The execution of an operation and the spans of its fields, which end with it.
pub struct Execution {
    phase: PhaseSpan,
    fields: Mutex<HashMap<u64, Arc<Field>>>,
    hasher: RandomState,
}

impl Execution {
    /// Begins the execution of the operation whose span `parent` has.
    #[must_use]
    pub fn start(parent: &Context) -> Self {
        let phase = PhaseSpan::start(Phase::Execution, parent);
        Self { phase, fields: Mutex::default(), hasher: RandomState::new() }
    }

    /// A call of `field` of `parent_type`, whose value goes to `path`: there, an alias that the
    /// client chose may stand for the field's name.
    pub fn call(&self, parent_type: &'static str, field: &str, path: &QueryPathNode<'_>) -> Call {
        self.calls(parent_type, field, path, 1)
    }

    /// As many calls at the same time, each for an object of a list.
    pub fn calls(
        &self,
        parent_type: &'static str,
        field: &str,
        path: &QueryPathNode<'_>,
        count: u64,
    ) -> Call {
        let key = self.key(path);
        let started = Instant::now();
        let field = self.field(key, started, parent_type, field, || without_indices(path));
        Call { field, count, started, failed: false }
    }

    /// The field at the path of `key`, whose span began at `since` if it is new.
    pub(super) fn field(
        &self,
        key: u64,
        since: Instant,
        parent_type: &'static str,
        name: &str,
        path: impl FnOnce() -> String,
    ) -> Arc<Field> {
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Field::new(parent_type, name, path, since, &self.phase.context));
        fields.entry(key).or_insert_with(new).clone()
    }

    /// The context that the spans of fields are children of.
    pub(super) const fn context(&self) -> &Context {
        &self.phase.context
    }

    /// A path's hash; list indices do not count.
    pub(super) fn key(&self, path: &QueryPathNode<'_>) -> u64 {
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
    pub fn fault(&self, error: &impl OperationError) {
        exception::record(&self.phase.context.span(), error);
        self.fail(error.error_code());
    }

    /// Marks the execution as failed by a fault of the service.
    pub fn fail(&self, code: impl Into<ErrorCode>) {
        self.phase.context.span().set_status(Status::error(code.into().name));
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
    section: Arc<Section>,
    duration: Histogram,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    count: u64,
    errors: u64,
    longest: Duration,
    /// When the last one ended.
    last: Option<Instant>,
    /// Whether one of the errors was recorded.
    is_recorded: bool,
}

impl Field {
    fn new(
        parent_type: &'static str,
        name: &str,
        path: impl FnOnce() -> String,
        since: Instant,
        parent: &Context,
    ) -> Self {
        let coordinate = coordinate(parent_type, name);
        let mut span = SpanBuilder::from_name(coordinate);
        let elapsed = since.elapsed();
        if elapsed > MAX_DELAY {
            span = span.with_start_time(SystemTime::now() - elapsed);
        }
        let context = start_span(span, parent, || {
            let name = &coordinate[coordinate.len() - name.len()..];
            let path = client_text(&path()).to_owned();
            [
                KeyValue::new(attribute::FIELD_NAME, name),
                KeyValue::new(attribute::FIELD_PARENT, parent_type),
                KeyValue::new(attribute::FIELD_COORDINATE, coordinate),
                KeyValue::new(attribute::SELECTION_PATH, path),
            ]
        });
        let section =
            Arc::new(Section { name: coordinate, span: context.span().span_context().clone() });
        Self {
            context,
            section,
            duration: field_durations().get(coordinate),
            calls: Mutex::default(),
        }
    }

    /// Returns the context that its statements and batches belong to.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// What its work is to be called while it holds a worker.
    #[must_use]
    pub fn section(&self) -> Arc<Section> {
        self.section.clone()
    }

    /// A field of no operation, for tests of what loads for fields.
    #[must_use]
    pub fn untraced() -> Self {
        Self {
            context: Context::new(),
            section: Arc::new(Section {
                name: "Query.books",
                span: opentelemetry::trace::SpanContext::NONE,
            }),
            duration: Histogram::noop(),
            calls: Mutex::default(),
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let calls = self.calls();
        let span = self.context.span();
        if span.is_recording() {
            let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            span.set_attributes([
                KeyValue::new(attribute::FIELD_CALLS, count(calls.count)),
                KeyValue::new(attribute::FIELD_ERRORS, count(calls.errors)),
                KeyValue::new(attribute::FIELD_DURATION_MAX, calls.longest.as_secs_f64()),
            ]);
        }
        let since = calls.last.map_or(Duration::ZERO, |last| last.elapsed());
        span.end_with_timestamp(SystemTime::now() - since);
    }
}

fn field_durations() -> &'static HandleCache<&'static str, Histogram> {
    static DURATIONS: LazyLock<HandleCache<&'static str, Histogram>> = LazyLock::new(|| {
        HandleCache::new(|coordinate: &&'static str| {
            GRAPHQL_FIELD.histogram(vec![Label::new(attribute::FIELD_COORDINATE, *coordinate)])
        })
    });
    &DURATIONS
}

/// The coordinate of a field of the schema, such as `Query.books`.
pub(super) fn coordinate(parent_type: &str, name: &str) -> &'static str {
    intern(&format!("{parent_type}.{name}"))
}

/// A response path, such as `books.nodes.authors`.
pub(super) fn without_indices(path: &QueryPathNode<'_>) -> String {
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

/// A call of a field, or several at once; over when dropped.
pub struct Call {
    field: Arc<Field>,
    count: u64,
    started: Instant,
    failed: bool,
}

impl Call {
    /// A call of `field` that began at `started`.
    pub(super) const fn since(started: Instant, field: Arc<Field>) -> Self {
        Self { field, count: 1, started, failed: false }
    }

    /// The field that is called.
    #[must_use]
    pub fn field(&self) -> &Arc<Field> {
        &self.field
    }

    /// Ends the call with its result.
    ///
    /// # Errors
    /// Those of the result.
    pub fn end<T, E: OperationError>(mut self, result: Result<T, E>) -> Result<T, E> {
        if let Err(error) = &result {
            self.fail(error);
        }
        result
    }

    fn fail(&mut self, error: &impl OperationError) {
        self.failed = true;
        let code = error.error_code();
        if !code.is_server_fault {
            return;
        }
        let span = self.field.context.span();
        span.set_status(Status::error(code.name));
        let is_new = !std::mem::replace(&mut self.field.calls().is_recorded, true);
        if is_new && !error.is_recorded() {
            exception::record(&span, error);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let times = usize::try_from(self.count).unwrap_or(usize::MAX);
        self.field.duration.record_many(took.as_secs_f64(), times);
        let mut calls = self.field.calls();
        calls.count += self.count;
        calls.errors += if self.failed { self.count } else { 0 };
        calls.longest = calls.longest.max(took);
        calls.last = Some(Instant::now());
    }
}
