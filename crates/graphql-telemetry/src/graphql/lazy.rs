//! Spans of fields of which nobody knows beforehand whether they do I/O: made when something below needs a
//! parent, or when the field waits for something itself. Plain getters never have one.

use std::{
    cell::Cell,
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Instant,
};

use async_graphql::extensions::ResolveInfo;
use opentelemetry::{Context, SpanId, trace::TraceContextExt};
use runtime_insight::{Section, in_section};

use super::{
    Call, Execution, Field,
    field::{coordinate, without_indices},
};
use crate::text::intern;

/// Returns the current context, with the span of the field that is being resolved.
#[must_use]
pub fn current_context() -> Context {
    let current = Context::current();
    let slot = current.get::<Arc<FieldSlot>>();
    // Further in, there is a span of its own.
    let slot = slot.filter(|slot| slot.parent == current.span().span_context().span_id());
    match slot.and_then(|slot| slot.field()) {
        Some(field) => field.context().clone(),
        None => current,
    }
}

/// The fields of an execution, one for each response path without list indices.
pub(super) struct LazyFields {
    execution: Arc<Execution>,
    known: Mutex<HashMap<u64, LazyField>>,
}

/// One of them.
#[derive(Clone)]
pub(super) struct LazyField {
    slot: Arc<FieldSlot>,
    /// The execution's, with the slot in it.
    context: Context,
    section: Arc<Section>,
}

/// The place of a field's span.
struct FieldSlot {
    execution: Weak<Execution>,
    /// The span that is the current one while the field has none.
    parent: SpanId,
    key: u64,
    parent_type: &'static str,
    name: String,
    path: String,
    /// When the first of its calls began that needs the span.
    since: Mutex<Instant>,
    field: OnceLock<Arc<Field>>,
}

impl FieldSlot {
    /// The field, whose span is made now if it is not yet; none after the operation's end.
    fn field(&self) -> Option<&Arc<Field>> {
        if self.field.get().is_none() {
            let execution = self.execution.upgrade()?;
            let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
            let path = || self.path.clone();
            let field = execution.field(self.key, since, self.parent_type, &self.name, path);
            let _ = self.field.set(field);
        }
        self.field.get()
    }
}

impl LazyField {
    /// Resolves the field by `work`, which resolves those below it, too. Returns its call if it has a span.
    pub async fn resolve<F: Future>(self, work: F) -> (F::Output, Option<Call>) {
        let Self { slot, context, section } = self;
        let started = Instant::now();
        STARTED.set(STARTED.get().wrapping_add(1));
        let mut has_resolved = false;
        let mut work = pin!(in_section(section, work));
        let output = poll_fn(|task| {
            if slot.field.get().is_none() {
                *slot.since.lock().unwrap_or_else(PoisonError::into_inner) = started;
            }
            let context = slot.field.get().map_or(&context, |field| field.context());
            let _attached = context.clone().attach();
            let before = STARTED.get();
            let poll = work.as_mut().poll(task);
            // From then on those below it wait, and not its own resolver.
            has_resolved |= STARTED.get() != before;
            if poll.is_pending() && !has_resolved {
                slot.field();
            }
            poll
        });
        let output = output.await;
        let call = slot.field.get().map(|field| Call::since(started, field.clone()));
        (output, call)
    }
}

thread_local! {
    /// Fields that this thread has begun to resolve.
    static STARTED: Cell<u64> = const { Cell::new(0) };
}

impl LazyFields {
    /// Starts an execution whose span is a child of that of `parent`, and whose context leads to its fields.
    pub fn start(parent: &Context) -> Arc<Self> {
        Arc::new_cyclic(|fields: &Weak<Self>| {
            let execution = Execution::start(&parent.with_value(fields.clone()));
            Self { execution: Arc::new(execution), known: Mutex::default() }
        })
    }

    /// Returns those of the execution that is polled; a subscription may have several at a time.
    pub fn current() -> Option<Arc<Self>> {
        Context::map_current(|context| context.get::<Weak<Self>>()?.upgrade())
    }

    /// Returns the execution that they are fields of.
    pub fn execution(&self) -> &Execution {
        &self.execution
    }

    /// Returns the field at a response path.
    pub fn field(&self, info: &ResolveInfo<'_>) -> LazyField {
        let key = self.execution.key(info.path_node);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key).or_insert_with(|| self.new_field(key, info)).clone()
    }

    fn new_field(&self, key: u64, info: &ResolveInfo<'_>) -> LazyField {
        let execution = self.execution.context();
        let span = execution.span().span_context().clone();
        let slot = Arc::new(FieldSlot {
            execution: Arc::downgrade(&self.execution),
            parent: span.span_id(),
            key,
            parent_type: intern(info.parent_type),
            name: info.name.to_owned(),
            path: without_indices(info.path_node),
            since: Mutex::new(Instant::now()),
            field: OnceLock::new(),
        });
        let context = execution.with_value(slot.clone());
        let name = coordinate(info.parent_type, info.name);
        LazyField { slot, context, section: Arc::new(Section { name, span }) }
    }
}
