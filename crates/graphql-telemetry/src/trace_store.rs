//! A store of recent traces in the process, with their log records: what a developer sees of a request, and
//! an operator of a process, without a collector.
//!
//! It is fed with spans and log records as they are encoded, sampled or not, and bounded in bytes. What is
//! stored is OTLP; it is decoded when someone looks at it.

mod findings;
mod in_progress;
mod operation;
mod query;
mod retention;
mod statements;
mod totals;
mod view;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use opentelemetry::{
    KeyValue, SpanId, TraceId, Value,
    trace::{SpanContext, SpanKind, Status},
};
use opentelemetry_sdk::trace::SpanData;
use otlp_export::{RecordObserver, SpanObserver};
use serde::Serialize;

use self::{
    in_progress::{InProgress, Trace},
    operation::is_operation,
    retention::Retained,
    statements::{Statement, Statements},
    totals::Totals,
};
pub use self::{
    operation::{OperationSummary, TaskFigures},
    query::{Operations, OperationsQuery, Order, Selection},
    statements::StatementSummary,
    totals::{RootFieldSummary, RootFields},
    view::{Finding, FindingKind, LogView, SpanView, TraceView},
};

/// How much memory the store takes, and where else its traces can be looked at.
#[derive(Clone, Debug)]
pub struct TraceStoreOptions {
    /// Bytes of all traces.
    pub bytes: usize,
    /// The address of a trace in a tracing back end, with `{trace_id}` where its id stands.
    pub backend_url: Option<String>,
}

impl Default for TraceStoreOptions {
    /// 16 MiB.
    fn default() -> Self {
        Self { bytes: 16 << 20, backend_url: None }
    }
}

/// The recent traces of this process. Clones share them.
///
/// When it is full, traces with errors, traces with slow polls, the five slowest operations of each root
/// field, one trace of 100, and the latest share the memory: the group that takes the most of it loses its
/// oldest trace.
#[derive(Clone)]
pub struct TraceStore(Arc<Inner>);

struct Inner {
    options: TraceStoreOptions,
    in_progress: InProgress,
    retained: Mutex<Retained>,
    totals: Totals,
    statements: Statements,
    recorded: AtomicU64,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StoreStats {
    /// What the traces take, those in progress included.
    pub bytes: usize,
    /// What they may take.
    pub limit: usize,
    /// Traces that are stored.
    pub traces: usize,
    /// Traces that have ended since the start.
    pub recorded: u64,
    /// Pieces of traces that found no memory while too many others were in progress.
    pub dropped: u64,
}

impl TraceStore {
    /// Returns an empty store.
    #[must_use]
    pub fn new(options: TraceStoreOptions) -> Self {
        // What is in progress at the same time is little; what has ended gets the rest.
        let in_progress = options.bytes / 4;
        Self(Arc::new(Inner {
            in_progress: InProgress::new(in_progress),
            retained: Mutex::new(Retained::new(options.bytes - in_progress)),
            totals: Totals::default(),
            statements: Statements::default(),
            recorded: AtomicU64::new(0),
            options,
        }))
    }

    /// Returns a trace, if it is stored.
    #[must_use]
    pub fn trace(&self, id: TraceId) -> Option<TraceView> {
        let trace = self.retained().get(id)?;
        Some(self.view(id, &trace))
    }

    /// Returns what belongs to one request or operation: the span `root` of the trace, those below it, and
    /// their log records.
    #[must_use]
    pub fn request(&self, id: TraceId, root: SpanId) -> Option<TraceView> {
        self.trace(id)?.below(root)
    }

    fn view(&self, id: TraceId, trace: &retention::Stored) -> TraceView {
        let url = self.0.options.backend_url.as_ref();
        let url = url.map(|url| url.replace("{trace_id}", &id.to_string()));
        TraceView::new(id, trace, url)
    }

    /// Returns the operations of stored traces that `query` selects.
    #[must_use]
    pub fn operations(&self, query: &OperationsQuery) -> Operations {
        let traces = self.retained().all();
        Operations { operations: query.select(&traces), store: self.stats() }
    }

    /// Returns figures of all operations since the start by root field, whether their traces are stored or
    /// not.
    #[must_use]
    pub fn root_fields(&self) -> RootFields {
        self.0.totals.summary()
    }

    /// Returns figures of all statements since the start, the one that took the most time first.
    #[must_use]
    pub fn statements(&self) -> Vec<StatementSummary> {
        self.0.statements.summary()
    }

    /// Returns how full the store is.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let (traces, bytes) = self.retained().size();
        StoreStats {
            bytes: bytes + self.0.in_progress.bytes(),
            limit: self.0.options.bytes,
            traces,
            recorded: self.0.recorded.load(Ordering::Relaxed),
            dropped: self.0.in_progress.dropped(),
        }
    }

    fn retained(&self) -> MutexGuard<'_, Retained> {
        self.0.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `bytes` to a trace that is in progress, or has ended already: a slow poll is logged when the
    /// response has been sent.
    fn add(&self, id: TraceId, bytes: usize, mut add: impl FnMut(&mut Trace)) {
        let in_progress = &self.0.in_progress;
        if !in_progress.add_to_known(id, bytes, &mut add)
            && !self.retained().add(id, bytes, &mut add)
        {
            in_progress.add(id, bytes, &mut add);
        }
    }

    /// Stores a trace whose root has ended.
    fn retain(&self, id: TraceId, trace: Trace) {
        self.0.recorded.fetch_add(1, Ordering::Relaxed);
        let removed = self.retained().insert(id, &trace);
        // Freed when the lock is not held any more.
        drop(removed);
        self.0.in_progress.reuse(id, trace);
    }
}

impl SpanObserver for TraceStore {
    fn on_end(&self, span: &SpanData, encoded: &[u8]) {
        let inner = &*self.0;
        let id = span.span_context.trace_id();
        let mut operation = is_operation(span).then(|| OperationSummary::new(span));
        let statement = Statement::of(span);
        if let Some(statement) = &statement {
            inner.statements.record(statement, id);
        }
        if let Some(operation) = &operation {
            inner.totals.record(operation);
        }
        let mut add = |trace: &mut Trace| {
            trace.spans.extend_from_slice(encoded);
            trace.failed |= matches!(span.status, Status::Error { .. });
            trace.statements += u32::from(statement.is_some());
            trace.operations.extend(operation.take());
        };
        if span.parent_span_id != SpanId::INVALID && !span.parent_span_is_remote {
            return self.add(id, encoded.len(), add);
        }
        let mut trace = inner.in_progress.take(id);
        add(&mut trace);
        if trace.operations.is_empty() && !self.retained().has(id) {
            if is_page(span) {
                return inner.in_progress.reuse(id, trace);
            }
            trace.operations.push(OperationSummary::new(span));
        }
        self.retain(id, trace);
    }
}

impl RecordObserver for TraceStore {
    fn on_record(&self, span: &SpanContext, encoded: &[u8]) {
        let add = |trace: &mut Trace| trace.logs.extend_from_slice(encoded);
        self.add(span.trace_id(), encoded.len(), add);
    }
}

/// Whether a request without an operation was for a page or a file, which nobody asks about.
fn is_page(span: &SpanData) -> bool {
    use opentelemetry_semantic_conventions::attribute::HTTP_RESPONSE_STATUS_CODE as STATUS;
    let mut status = span.attributes.iter().filter(|attribute| attribute.key.as_str() == STATUS);
    let is_error = |status: &KeyValue| matches!(status.value, Value::I64(400..));
    span.span_kind == SpanKind::Server && !status.any(is_error)
}

impl fmt::Debug for TraceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceStore").field(&self.stats()).finish()
    }
}

#[cfg(test)]
mod tests;
