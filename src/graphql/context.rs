//! What a resolver has of its request: by [`resolve_query`], [`resolve_mutation`] and [`resolve_field`], which check
//! the caller's scope and open the field's span. They are the only way to the database, so that no statement is
//! without a scope or a span.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_graphql::Context;
use graphql_telemetry::graphql::{Execution, Field};
use runtime_insight::in_section;

use crate::{
    catalog::changes::{self, BookChange, ChangeFilter},
    database::{Database, Session, Transaction, notifier::Notifier},
    error::{Error, Result},
    graphql::{
        dataloader::{BatchScheduler, Loader, Loaders},
        execution::subscriptions::Event,
    },
    security::{Caller, Scope},
};

/// What the resolvers of one operation share.
#[derive(Clone)]
pub struct RequestContext(Arc<Inner>);

struct Inner {
    db: Database,
    execution: Arc<Execution>,
    caller: Caller,
    loaders: Loaders,
    step: SubscriptionStep,
}

/// What the field of a subscription is to do.
#[derive(Clone, Debug, Default)]
pub enum SubscriptionStep {
    /// Nothing: the operation is no subscription.
    #[default]
    None,
    /// Say which changes the subscription follows.
    Select(Arc<OnceLock<ChangeFilter>>),
    /// Make a value of an event.
    Resolve(Event),
}

impl RequestContext {
    /// The context of an operation of `caller`, whose batches `scheduler` drives.
    #[must_use]
    pub fn new(
        db: &Database,
        scheduler: &BatchScheduler,
        execution: Arc<Execution>,
        caller: Caller,
    ) -> Self {
        let loaders = Loaders::new(db.clone(), scheduler.clone());
        let step = SubscriptionStep::None;
        Self(Arc::new(Inner { db: db.clone(), execution, caller, loaders, step }))
    }

    /// This context, for a step of a subscription.
    #[must_use]
    pub fn in_step(mut self, step: SubscriptionStep) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.step = step;
        }
        self
    }

    /// The context of the operation that a field is of.
    ///
    /// # Panics
    /// If the operation is not executed by the engine, which gives each one its context.
    #[must_use]
    pub fn of<'a>(context: &Context<'a>) -> &'a Self {
        context.data_unchecked()
    }

    /// The telemetry of the operation's execution.
    #[must_use]
    pub fn execution(&self) -> &Execution {
        &self.0.execution
    }

    /// The database, for batches, which have spans of their own.
    #[must_use]
    pub fn db(&self) -> &Database {
        &self.0.db
    }
}

/// The type that has a field.
#[derive(Clone, Copy)]
enum ParentType {
    Query,
    Mutation,
    Subscription,
    /// An object. Its fields are read, even below a mutation.
    Object(&'static str),
}

impl ParentType {
    const fn name(self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::Mutation => "Mutation",
            Self::Subscription => "Subscription",
            Self::Object(name) => name,
        }
    }

    const fn required_scope(self) -> Scope {
        match self {
            Self::Query | Self::Subscription | Self::Object(_) => Scope::Read,
            Self::Mutation => Scope::Write,
        }
    }
}

/// Resolves a field of the query root, if the caller has [`Scope::Read`].
///
/// # Errors
/// Those of `work`, or that the caller lacks the scope.
///
/// # Panics
/// As [`RequestContext::of`].
pub async fn resolve_query<T>(
    context: &Context<'_>,
    work: impl AsyncFnOnce(FieldContext) -> Result<T>,
) -> Result<T> {
    resolve(context, ParentType::Query, work).await
}

/// Resolves a field of the mutation root, if the caller has [`Scope::Write`].
///
/// # Errors
/// Those of `work`, or that the caller lacks the scope.
///
/// # Panics
/// As [`RequestContext::of`].
pub async fn resolve_mutation<T>(
    context: &Context<'_>,
    work: impl AsyncFnOnce(FieldContext) -> Result<T>,
) -> Result<T> {
    resolve(context, ParentType::Mutation, work).await
}

/// Resolves a field of the subscription root: what `select` says is followed, if the caller has [`Scope::Read`]; or
/// the event that the field is executed for.
///
/// # Errors
/// Those of `select`, or that the caller lacks the scope.
///
/// # Panics
/// As [`RequestContext::of`].
pub async fn resolve_subscription(
    context: &Context<'_>,
    select: impl FnOnce() -> Result<ChangeFilter>,
) -> Result<Option<Event>> {
    match &RequestContext::of(context).0.step {
        SubscriptionStep::None => Ok(None),
        SubscriptionStep::Resolve(event) => Ok(Some(event.clone())),
        SubscriptionStep::Select(slot) => {
            let filter = resolve(context, ParentType::Subscription, async |_| select()).await?;
            // Once: a subscription has one root field.
            let _ = slot.set(filter);
            Ok(None)
        }
    }
}

/// Resolves a field of an object type that does I/O, if the caller has [`Scope::Read`].
///
/// # Errors
/// Those of `work`, or that the caller lacks the scope.
///
/// # Panics
/// As [`RequestContext::of`].
pub async fn resolve_field<T>(
    context: &Context<'_>,
    parent_type: &'static str,
    work: impl AsyncFnOnce(FieldContext) -> Result<T>,
) -> Result<T> {
    resolve(context, ParentType::Object(parent_type), work).await
}

async fn resolve<T>(
    context: &Context<'_>,
    parent_type: ParentType,
    // By value, and so without a lifetime: the compiler could not prove that the work is `Send`.
    work: impl AsyncFnOnce(FieldContext) -> Result<T>,
) -> Result<T> {
    let request = RequestContext::of(context);
    let path = context.path_node.as_ref().expect("a field has a path");
    let name = &context.item.node.name.node;
    let call = request.0.execution.call(parent_type.name(), name, path);
    if let Err(error) = request.0.caller.require(parent_type.required_scope()) {
        return call.end(Err(error));
    }
    let field = call.field().clone();
    let section = field.section();
    let field_context = FieldContext { request: request.clone(), field };
    let result = in_section(section, work(field_context)).await;
    call.end(match parent_type {
        ParentType::Mutation => {
            request.0.db.observe_write(result.is_ok());
            result.map_err(Error::in_mutation)
        }
        _ => result,
    })
}

/// What a field that does I/O works with: the database below its span, and loaders.
pub struct FieldContext {
    request: RequestContext,
    field: Arc<Field>,
}

impl FieldContext {
    /// Sessions for reading.
    #[must_use]
    pub fn reader(&self) -> Session<'_> {
        self.request.0.db.reader(Some(self.field.context()))
    }

    /// Sessions for a change by a single statement.
    #[must_use]
    pub fn writer(&self) -> Session<'_> {
        self.request.0.db.writer(Some(self.field.context()))
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// If no connection is available in time, or the database rejects it.
    pub async fn begin(&self) -> Result<Transaction> {
        self.request.0.db.begin(Some(self.field.context())).await
    }

    /// Commits a transaction, and tells those who follow the catalog of the changes that it made.
    ///
    /// # Errors
    /// If it was not committed.
    pub async fn commit(&self, tx: Transaction, changes: &[BookChange]) -> Result<()> {
        changes::commit(&self.request.0.db, tx, Some(self.cause()), changes).await
    }

    /// What tells those who follow the catalog, for a change by a single statement.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        self.request.0.db.notifier()
    }

    /// The span that changes are the work of.
    #[must_use]
    pub fn cause(&self) -> &opentelemetry::Context {
        self.field.context()
    }

    /// The value of a key, loaded in one batch with the keys of all fields that wait.
    ///
    /// # Errors
    /// Those of the loader.
    pub async fn load_one<L: Loader>(&self, key: L::Key) -> Result<Option<L::Value>> {
        self.request.0.loaders.get::<L>().load_one(&self.field, key).await
    }

    /// Keeps every connection that reads for as long as `time`.
    ///
    /// # Errors
    /// If one is not available in time.
    pub async fn occupy_pool(&self, time: Duration) -> Result<()> {
        self.request.0.db.occupy_readers(time).await
    }
}
