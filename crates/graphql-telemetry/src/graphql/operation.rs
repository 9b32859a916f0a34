//! The span and the metrics of an operation.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime},
};

use async_graphql::parser::types::OperationType;
use metrics::{Gauge, Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind, SpanRef, Status, TraceContextExt},
};
use opentelemetry_semantic_conventions::attribute as attr;
use runtime_insight::{Operation as TaskOperation, TaskTime};

#[cfg(feature = "profiles")]
use super::recorded::{RecordedOperation, record_operation};
use super::{
    ErrorCode, Execution, OperationError, Phase, PhaseSpan, Scope, Subscription, kind_name,
};
use crate::{
    attribute,
    catalog::{GRAPHQL_ACTIVE, GRAPHQL_DURATION, REQUEST_STATEMENTS, SUBSCRIPTION_DURATION},
    exception,
    handle_cache::HandleCache,
    runtime::record_task_time,
    text::intern,
    totals,
    traces::start_span,
    websocket,
};

/// The span's name until its document is parsed.
const SPAN_NAME: &str = "GraphQL Operation";
/// The span's name of an event of a subscription.
const EVENT_NAME: &str = "GraphQL Subscription Event";
/// The names that spans of operations have.
pub(crate) const OPERATION_NAMES: [&str; 5] =
    ["query", "mutation", "subscription", SPAN_NAME, EVENT_NAME];
/// Bytes of an operation's name that are recorded: clients choose them.
const LONGEST_NAME: usize = 256;

/// What an operation is, as soon as its document is understood.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Query or mutation.
    pub kind: OperationType,
    /// The coordinate of its root field.
    pub root_field: &'static str,
    /// What the client calls it.
    pub name: Option<Arc<str>>,
    /// Its name, if it is one of a fixed set: that of a trusted document.
    pub label: Option<&'static str>,
    /// The hash of its document, if there is one.
    pub hash: Option<Arc<str>>,
    /// Whether the document was known and not parsed.
    pub is_known: bool,
}

/// How an operation arrived, by which the parent of its span is found.
#[derive(Clone, Debug, Default)]
pub enum Source {
    /// By an HTTP request, whose span is the current one.
    #[default]
    Request,
    /// By a WebSocket.
    Socket(websocket::ConnectionContext),
}

/// An operation that is being processed. Ends its span and records its metrics, also when it is
/// dropped because nobody waits for it any more.
#[derive(Debug)]
pub struct Operation {
    context: Context,
    started: Instant,
    identity: Option<Identity>,
    scope: Option<Scope>,
    active: Option<Active>,
    outcome: Option<&'static str>,
    role: Role,
}

/// What an operation is to its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Request,
    /// An event of a subscription.
    Event,
    /// Now a [`Subscription`].
    Subscription,
}

impl Operation {
    /// An operation of which nothing is known yet.
    #[must_use]
    pub fn start(source: &Source) -> Self {
        let started = Instant::now();
        let context = match source {
            Source::Request => {
                let parent = Context::current();
                start_span(SpanBuilder::from_name(SPAN_NAME), &parent, || [])
            }
            Source::Socket(origin) => origin.begin(SPAN_NAME),
        };
        Self::of(context, started, Role::Request)
    }

    fn of(context: Context, started: Instant, role: Role) -> Self {
        Self { context, started, identity: None, scope: None, active: None, outcome: None, role }
    }

    /// The execution of an event for `count` subscriptions: in a trace of its own, with links to the
    /// spans of what caused it and of these.
    #[must_use]
    pub fn start_event(
        identity: Identity,
        route: &'static str,
        links: impl IntoIterator<Item = SpanContext>,
        count: usize,
    ) -> Self {
        let started = Instant::now();
        let links = links.into_iter().filter(SpanContext::is_valid).map(Link::with_context);
        let span = SpanBuilder::from_name(EVENT_NAME)
            .with_kind(SpanKind::Consumer)
            .with_links(links.collect());
        let context = start_span(span, &Context::new(), || {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            [KeyValue::new(attribute::SUBSCRIPTION_COUNT, count)]
        });
        let mut event = Self::of(context, started, Role::Event);
        event.identify(identity, route);
        event
    }

    /// What the operation is from here on: a subscription, which lasts until it is ended.
    ///
    /// # Panics
    /// If it was not identified.
    #[must_use]
    pub fn into_subscription(mut self) -> Subscription {
        self.role = Role::Subscription;
        let root_field = self.identity.as_ref().expect("the operation was identified").root_field;
        Subscription::start(self.context.clone(), root_field)
    }

    /// The operation's span, for what is done and logged in its name.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// What the tasks that work for it are to know of it.
    #[must_use]
    pub fn tag(&self, kind: OperationType, root_field: &'static str) -> TaskOperation {
        TaskOperation {
            name: task_name(kind, root_field),
            group: root_field,
            span: self.context.span().span_context().clone(),
        }
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
            if self.role == Role::Request {
                span.update_name(kind);
            }
            let cached =
                identity.is_known.then(|| KeyValue::new(attribute::OPERATION_CACHED, true));
            let name = identity.name.as_ref().map(|name| {
                let short = &name[..name.floor_char_boundary(LONGEST_NAME)];
                let is_short = short.len() == name.len();
                let name = if is_short { name.clone() } else { short.into() };
                KeyValue::new(attr::GRAPHQL_OPERATION_NAME, name)
            });
            let hash = identity.hash.clone();
            let hash = hash.map(|hash| KeyValue::new(attribute::OPERATION_HASH, hash));
            let always = [
                KeyValue::new(attr::GRAPHQL_OPERATION_TYPE, kind),
                KeyValue::new(attribute::ROOT_FIELD, identity.root_field),
            ];
            span.set_attributes(always.into_iter().chain(hash).chain(cached).chain(name));
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
        let _span = PhaseSpan::start(phase, &self.context);
        work()
    }

    /// Begins the execution.
    #[must_use]
    pub fn execution(&self) -> Arc<Execution> {
        Arc::new(Execution::start(&self.scoped_context()))
    }

    /// The context of what is done on its behalf, once it is identified.
    pub(super) fn scoped_context(&self) -> Context {
        match &self.scope {
            Some(scope) => self.context.with_value(scope.clone()),
            None => self.context.clone(),
        }
    }

    /// Tells of a fault of the service that arose in no resolver.
    pub fn fault(&self, error: &impl OperationError) {
        exception::record(&self.context.span(), error);
    }

    /// Ends the operation with the errors of its response and, where its task was measured, what its
    /// time was spent on.
    pub fn end<C>(mut self, errors: &[C], profile: Option<&TaskTime>)
    where
        C: Copy + Into<ErrorCode>,
    {
        let span = self.context.span();
        self.outcome = Some(record_errors(&span, errors).unwrap_or_default());
        if let (Some(profile), Some(identity)) = (profile, &self.identity) {
            record_task_time(profile, &span, identity.root_field);
            // Its work ended with its last poll, before anything was recorded of it.
            let since = self.started.elapsed().saturating_sub(profile.total());
            span.end_with_timestamp(SystemTime::now() - since);
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        /// The client went away, and the query with it.
        const CANCELLED: &str = "CANCELLED";
        if self.role == Role::Subscription {
            return;
        }
        let span = self.context.span();
        if self.outcome.is_none() {
            span.set_attribute(KeyValue::new(attr::ERROR_TYPE, CANCELLED));
        }
        span.end();
        let error = Some(self.outcome.unwrap_or(CANCELLED)).filter(|code| !code.is_empty());
        let identity = self.identity.as_ref();
        let key = OperationKey {
            kind: identity.map(|i| kind_name(i.kind)),
            root_field: identity.map(|i| i.root_field),
            name: identity.and_then(|i| i.label),
            error,
        };
        let duration = self.started.elapsed();
        if self.role == Role::Event {
            event_durations().get((key.root_field, error)).record(duration.as_secs_f64());
        } else {
            totals::OPERATIONS.increment();
            durations().get(key).record(duration.as_secs_f64());
        }
        #[cfg(feature = "profiles")]
        if let Some(identity) = &self.identity {
            record_operation(|| RecordedOperation {
                name: task_name(identity.kind, identity.root_field),
                trace_id: self.context.span().span_context().trace_id().to_string(),
                duration,
                error: error.unwrap_or_default(),
            });
        }
        if let Some(scope) = &self.scope {
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
            statements().get(scope.root_field()).record(scope.statements() as f64);
        }
    }
}

/// Records the errors of a response on its span, and returns the code of a fault or, without one, of the
/// first of them.
pub(super) fn record_errors<C>(span: &SpanRef<'_>, errors: &[C]) -> Option<&'static str>
where
    C: Copy + Into<ErrorCode>,
{
    let mut codes = errors.iter().map(|code| (*code).into());
    let fault: Option<ErrorCode> = codes.clone().find(|code| code.is_server_fault);
    let code = fault.or(codes.next()).map(|code| code.name);
    let count = i64::try_from(errors.len()).unwrap_or(i64::MAX);
    span.set_attribute(KeyValue::new(attribute::ERROR_COUNT, count));
    if let Some(code) = code {
        span.set_attribute(KeyValue::new(attr::ERROR_TYPE, code));
    }
    if let Some(fault) = fault {
        span.set_status(Status::error(fault.name));
    }
    code
}

/// Tells of an operation that was rejected before anything was known of it. It has no span.
pub fn refused(code: impl Into<ErrorCode>, duration: Duration) {
    let key = OperationKey { error: Some(code.into().name), ..OperationKey::default() };
    totals::OPERATIONS.increment();
    durations().get(key).record(duration.as_secs_f64());
}

/// What an operation's task is called: by the schema's names, and none of the client's.
fn task_name(kind: OperationType, root_field: &'static str) -> &'static str {
    type Key = (&'static str, &'static str);
    static NAMES: LazyLock<HandleCache<Key, &'static str>> = LazyLock::new(|| {
        HandleCache::new(|(kind, root_field): &Key| intern(&format!("{kind} {root_field}")))
    });
    NAMES.get((kind_name(kind), root_field))
}

/// A root field, and the code of an error.
type EventKey = (Option<&'static str>, Option<&'static str>);

#[derive(Default, PartialEq, Eq, Hash)]
struct OperationKey {
    kind: Option<&'static str>,
    root_field: Option<&'static str>,
    name: Option<&'static str>,
    error: Option<&'static str>,
}

fn durations() -> &'static HandleCache<OperationKey, Histogram> {
    static DURATIONS: LazyLock<HandleCache<OperationKey, Histogram>> = LazyLock::new(|| {
        HandleCache::new(|key: &OperationKey| {
            GRAPHQL_DURATION.histogram(labels([
                (attr::GRAPHQL_OPERATION_TYPE, key.kind),
                (attribute::ROOT_FIELD, key.root_field),
                (attr::GRAPHQL_OPERATION_NAME, key.name),
                (attr::ERROR_TYPE, key.error),
            ]))
        })
    });
    &DURATIONS
}

fn event_durations() -> &'static HandleCache<EventKey, Histogram> {
    static DURATIONS: LazyLock<HandleCache<EventKey, Histogram>> = LazyLock::new(|| {
        HandleCache::new(|(root_field, error): &EventKey| {
            let pairs = [(attribute::ROOT_FIELD, *root_field), (attr::ERROR_TYPE, *error)];
            SUBSCRIPTION_DURATION.histogram(labels(pairs))
        })
    });
    &DURATIONS
}

/// The labels that have a value.
fn labels<const N: usize>(pairs: [(&'static str, Option<&'static str>); N]) -> Vec<Label> {
    let label = |(key, value): (&'static str, Option<&'static str>)| {
        value.map(|value| Label::from_static_parts(key, value))
    };
    pairs.into_iter().filter_map(label).collect()
}

fn statements() -> &'static HandleCache<&'static str, Histogram> {
    static STATEMENTS: LazyLock<HandleCache<&'static str, Histogram>> = LazyLock::new(|| {
        HandleCache::new(|root_field: &&'static str| {
            REQUEST_STATEMENTS.histogram(vec![Label::new(attribute::ROOT_FIELD, *root_field)])
        })
    });
    &STATEMENTS
}

/// An operation among the active ones.
#[derive(Debug)]
struct Active(Gauge);

impl Active {
    fn new(kind: OperationType) -> Self {
        static ACTIVE: LazyLock<HandleCache<&'static str, Gauge>> = LazyLock::new(|| {
            HandleCache::new(|kind: &&'static str| {
                GRAPHQL_ACTIVE.gauge(vec![Label::new(attr::GRAPHQL_OPERATION_TYPE, *kind)])
            })
        });
        let gauge = ACTIVE.get(kind_name(kind));
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
