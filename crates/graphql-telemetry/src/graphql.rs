//! GraphQL: the span of an operation with its phases, the spans of the fields that do I/O, the
//! spans of DataLoader batches, and their metrics.
//!
//! Field spans are bounded by the query and never by the data: one for each response path
//! without list indices, however long the lists.

mod batch;
mod error;
mod extension;
mod field;
mod lazy;
mod operation;
#[cfg(feature = "profiles")]
mod recorded;
mod subscription;

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_graphql::parser::types::OperationType;
pub use batch::{Batch, RequestingFields};
pub use error::{ErrorCode, OperationError};
pub use extension::{TelemetryExtension, spawn_batch};
pub use field::{Call, Execution, Field};
pub use lazy::current_context;
use metrics::{Counter, Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, TraceContextExt},
};
use opentelemetry_semantic_conventions::attribute as attr;
pub(crate) use operation::OPERATION_NAMES;
pub use operation::{Identity, Operation, Source, refused};
pub use subscription::{
    EndReason, OpenSubscription, Queued, Subscription, SubscriptionHandle, open_subscriptions,
    start_subscription_counters,
};

use super::{
    attribute,
    catalog::{GRAPHQL_ERRORS, GRAPHQL_PROCESSING, GRAPHQL_WAIT},
    handle_cache::HandleCache,
    totals,
    traces::start_span,
};

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
        static DURATIONS: LazyLock<HandleCache<Phase, Histogram>> = LazyLock::new(|| {
            HandleCache::new(|phase: &Phase| {
                let kind = Label::new(attribute::PROCESSING_TYPE, phase.processing_type());
                GRAPHQL_PROCESSING.histogram(vec![kind])
            })
        });
        DURATIONS.get(self)
    }
}

const fn kind_name(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}

/// Tells how long an operation waited for others to end.
pub fn waited(duration: Duration) {
    static WAITS: LazyLock<Histogram> = LazyLock::new(|| GRAPHQL_WAIT.histogram(Vec::new()));
    WAITS.record(duration.as_secs_f64());
}

/// Counts an error of a response.
pub fn count_error(code: impl Into<ErrorCode>) {
    totals::ERRORS.increment();
    errors().get(code.into().name).increment(1);
}

/// Starts the counters of these codes at zero, so that a first error is a rise.
pub fn start_counters(codes: impl IntoIterator<Item = ErrorCode>) {
    for code in codes {
        errors().get(code.name).increment(0);
    }
}

fn errors() -> &'static HandleCache<&'static str, Counter> {
    static ERRORS: LazyLock<HandleCache<&'static str, Counter>> = LazyLock::new(|| {
        HandleCache::new(|code: &&'static str| {
            GRAPHQL_ERRORS.counter(vec![Label::new(attr::ERROR_TYPE, *code)])
        })
    });
    &ERRORS
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

/// The span of a phase, which ends when this is dropped.
struct PhaseSpan {
    phase: Phase,
    started: Instant,
    context: Context,
}

impl PhaseSpan {
    fn start(phase: Phase, parent: &Context) -> Self {
        let context = start_span(SpanBuilder::from_name(phase.span_name()), parent, || {
            [KeyValue::new(attribute::PROCESSING_TYPE, phase.processing_type())]
        });
        Self { phase, started: Instant::now(), context }
    }
}

impl Drop for PhaseSpan {
    fn drop(&mut self) {
        self.phase.duration().record(self.started.elapsed().as_secs_f64());
        self.context.span().end();
    }
}
