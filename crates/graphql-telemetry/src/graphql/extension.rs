//! The telemetry of operations as an extension of async-graphql.

mod document;
mod stream;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use async_graphql::{
    QueryPathNode, QueryPathSegment, Request, Response, ServerError, ServerResult,
    ValidationResult, Value, Variables,
    extensions::{
        Extension, ExtensionContext, ExtensionFactory, NextExecute, NextParseQuery,
        NextPrepareRequest, NextRequest, NextResolve, NextSubscribe, NextValidation, ResolveInfo,
    },
    parser::types::ExecutableDocument,
};
use document::Candidates;
use futures_util::stream::BoxStream;
use opentelemetry::{Context, trace::FutureExt as _};
use runtime_insight::{TaskTime, timed, worker};
use stream::{StreamState, Traced};
use tokio::task::JoinHandle;

use super::{
    ErrorCode, Operation, OperationError, Phase, PhaseSpan, Source, count_error, current_context,
    lazy::LazyFields,
};
use crate::text::intern;

/// The route of a stock endpoint, for comments in SQL.
const ROUTE: &str = "/graphql";
/// The root field of operations with one that the schema does not have, and the code of errors beyond
/// [`MAX_CODES`].
const OTHER: &str = "_OTHER";
/// Codes of errors that become labels, at most.
const MAX_CODES: usize = 256;

const PARSE_FAILED: ErrorCode = ErrorCode { name: "GRAPHQL_PARSE_FAILED", is_server_fault: false };
const VALIDATION_FAILED: ErrorCode =
    ErrorCode { name: "GRAPHQL_VALIDATION_FAILED", is_server_fault: false };
const INTERNAL: &str = "INTERNAL_SERVER_ERROR";

/// An extension for [`SchemaBuilder::extension`](async_graphql::SchemaBuilder::extension) that gives each
/// operation a span, with spans of its phases and of the fields that wait or have statements, and the
/// metrics `graphql.server.*`. It does so for [`Schema::execute`](async_graphql::Schema::execute) and for
/// [`Schema::execute_stream`](async_graphql::Schema::execute_stream), through which WebSockets execute
/// subscriptions, queries and mutations.
///
/// A field's span covers the fields below it too, since async-graphql resolves these in the field's
/// future; it is made for the response path without list indices, however long the lists.
///
/// # Subscriptions
/// The span of a subscription lasts as long as its stream of responses. Each event is a trace of its own,
/// `GraphQL Subscription Event`, with a link to the subscription's span and the spans of the fields that are
/// resolved for it. It has no link to the span in which the event was sent, since async-graphql does not pass
/// that on; for the same reason `graphql.server.subscription.lag` counts from when the stream of events returned it.
///
/// A subscription is open as soon as its field's resolver or its first event is waited for. If the resolver
/// fails at once, the operation ends with its error and is not counted as a subscription; if it fails later, the
/// subscription ends with [`EndReason::Failed`](super::EndReason::Failed). If the stream ends, the reason is
/// [`Completed`](super::EndReason::Completed). If it is dropped, the reason is
/// [`Disconnected`](super::EndReason::Disconnected): async-graphql drops it both when the client ends the
/// subscription and when the client is gone.
///
/// # Cost
/// In memory, an order of four fields takes 25 µs in place of 15, and 50 orders 178 µs in place of 83, of which
/// 38 µs are async-graphql's price for any extension (`cargo bench --profile micro -p graphql-telemetry`).
/// [`Operation`], [`Execution`](super::Execution) and [`RequestingFields`](super::RequestingFields) make the same
/// spans without it, for a service that calls them from its own executor and resolvers.
#[derive(Clone, Copy, Debug)]
pub struct TelemetryExtension {
    classify: fn(&ServerError) -> ErrorCode,
}

impl Default for TelemetryExtension {
    fn default() -> Self {
        Self { classify }
    }
}

impl TelemetryExtension {
    /// Returns the extension. The code of a resolver's error is what `extensions.code` has, and
    /// `INTERNAL_SERVER_ERROR` where there is none; only the latter is the service's fault.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how errors of resolvers are classified. The codes must come from a fixed set.
    #[must_use]
    pub fn classify(mut self, classify: fn(&ServerError) -> ErrorCode) -> Self {
        self.classify = classify;
        self
    }
}

impl ExtensionFactory for TelemetryExtension {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(OperationExtension { classify: self.classify, state: Arc::default() })
    }
}

/// Spawns the batches of async-graphql's `DataLoader`, as children of the field that asked first:
/// `DataLoader::new(loader, spawn_batch)`.
pub fn spawn_batch<F>(work: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime_insight::spawn("graphql batch", work.with_context(current_context()))
}

/// The extension of one request.
#[derive(Clone)]
struct OperationExtension {
    classify: fn(&ServerError) -> ErrorCode,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Until its end, or until it is a subscription.
    operation: Option<Operation>,
    /// The operations of its document, once it is parsed.
    candidates: Candidates,
    /// The phase that failed.
    failed: Option<Phase>,
    /// If its responses are a stream.
    stream: Option<StreamState>,
}

impl OperationExtension {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the operation, and returns when it started and the context of its span.
    fn start(&self) -> (Instant, Context) {
        let operation = Operation::start(&Source::Request);
        let started = (operation.started(), operation.context().clone());
        self.state().operation = Some(operation);
        started
    }

    fn phase(&self, phase: Phase) -> Option<PhaseSpan> {
        let state = self.state();
        Some(PhaseSpan::start(phase, state.operation.as_ref()?.context()))
    }

    /// Identifies the operation that is executed, and returns its context.
    fn identify(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
    ) -> Option<Context> {
        let state = &mut *self.state();
        let candidate = state.candidates.select(operation_name)?;
        let operation = state.operation.as_mut()?;
        operation.identify(candidate.identity(&ctx.schema_env.registry), ROUTE);
        Some(operation.scoped_context())
    }

    /// Executes an operation, or an event of a subscription, whose context is `parent`.
    async fn execute_in(
        &self,
        parent: &Context,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        // The spans of the fields end with it.
        let fields = LazyFields::start(parent);
        let context = fields.execution().context().clone();
        let response = next.run(ctx, operation_name).with_context(context).await;
        if let Some(fault) = self.codes(&response).iter().find(|code| code.is_server_fault) {
            fields.execution().fail(*fault);
        }
        response
    }

    fn codes(&self, response: &Response) -> Vec<ErrorCode> {
        match self.state().failed {
            Some(Phase::Parsing) => vec![PARSE_FAILED; response.errors.len()],
            Some(_) => vec![VALIDATION_FAILED; response.errors.len()],
            None => response.errors.iter().map(self.classify).collect(),
        }
    }

    /// Counts the errors of a response, and returns their codes.
    fn count_errors(&self, response: &Response) -> Vec<ErrorCode> {
        let codes = self.codes(response);
        for code in &codes {
            count_error(*code);
        }
        codes
    }

    /// Ends the operation unless it is a subscription, and returns the codes of the errors.
    fn end(&self, response: &Response, time: Option<&TaskTime>) -> Vec<ErrorCode> {
        let codes = self.count_errors(response);
        if let Some(operation) = self.state().operation.take() {
            operation.end(&codes, time);
        }
        codes
    }
}

/// Does `work`, which began at `since`, and measures what its time is spent on where polls are watched.
async fn measured<F: Future + Unpin>(since: Instant, work: F) -> (F::Output, Option<TaskTime>) {
    if !worker::is_watched() {
        return (work.await, None);
    }
    let (output, time) = timed(since, work).await;
    (output, Some(time))
}

#[async_trait::async_trait]
impl Extension for OperationExtension {
    async fn request(&self, ctx: &ExtensionContext<'_>, next: NextRequest<'_>) -> Response {
        let (started, context) = self.start();
        let work = Box::pin(next.run(ctx).with_context(context));
        let (response, time) = measured(started, work).await;
        self.end(&response, time.as_ref());
        response
    }

    /// Called instead of `request` where the responses are a stream, also that of a query.
    fn subscribe<'s>(
        &self,
        ctx: &ExtensionContext<'_>,
        stream: BoxStream<'s, Response>,
        next: NextSubscribe<'_>,
    ) -> BoxStream<'s, Response> {
        Traced::start(self.clone(), next.run(ctx, stream)).into_stream()
    }

    async fn prepare_request(
        &self,
        ctx: &ExtensionContext<'_>,
        request: Request,
        next: NextPrepareRequest<'_>,
    ) -> ServerResult<Request> {
        let request = next.run(ctx, request).await?;
        self.state().prepare(&request);
        Ok(request)
    }

    async fn parse_query(
        &self,
        ctx: &ExtensionContext<'_>,
        query: &str,
        variables: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        let _span = self.phase(Phase::Parsing);
        let result = next.run(ctx, query, variables).await;
        match &result {
            Ok(document) => self.state().candidates = Candidates::new(document),
            Err(_) => self.state().failed = Some(Phase::Parsing),
        }
        result
    }

    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let _span = self.phase(Phase::Validation);
        let result = next.run(ctx).await;
        match &result {
            Ok(_) => self.state().identify_subscription(&ctx.schema_env.registry),
            Err(_) => self.state().failed = Some(Phase::Validation),
        }
        result
    }

    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let event = self.state().start_event();
        if let Some(event) = event {
            return self.execute_event(event, ctx, operation_name, next).await;
        }
        match self.identify(ctx, operation_name) {
            Some(parent) => self.execute_in(&parent, ctx, operation_name, next).await,
            None => next.run(ctx, operation_name).await,
        }
    }

    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        // The items of a list are resolved one by one, in the call of their field.
        let is_item = matches!(info.path_node.segment, QueryPathSegment::Index(_));
        let is_traced = !info.is_for_introspection && !is_item;
        let fields = is_traced.then(LazyFields::current).flatten();
        let Some(fields) = fields else { return next.run(ctx, info).await };
        let (field, path) = (fields.field(&info), info.path_node);
        let (result, call) = field.resolve(next.run(ctx, info)).await;
        let Some(call) = call else { return result };
        let result = result.map_err(|error| ResolverError {
            code: (self.classify)(&error),
            // An error is returned by all fields above its own.
            is_own: error.path.is_empty() || error.path.len() == depth(path),
            error,
        });
        call.end(result).map_err(|error| error.error)
    }
}

fn depth(path: &QueryPathNode<'_>) -> usize {
    1 + path.parent.map_or(0, depth)
}

/// The error of a field's resolver.
#[derive(Debug, thiserror::Error)]
#[error("{}", error.message)]
struct ResolverError {
    error: ServerError,
    code: ErrorCode,
    is_own: bool,
}

impl OperationError for ResolverError {
    fn error_code(&self) -> ErrorCode {
        self.code
    }

    fn is_recorded(&self) -> bool {
        !self.is_own
    }
}

/// The code of a resolver's error, as the application has set it.
fn classify(error: &ServerError) -> ErrorCode {
    let code = match error.extensions.as_ref().and_then(|all| all.get("code")) {
        Some(Value::String(code)) => code.as_str(),
        Some(Value::Enum(code)) => code.as_str(),
        _ => INTERNAL,
    };
    ErrorCode { name: bounded(code), is_server_fault: code == INTERNAL }
}

/// A code as one of a set that does not grow beyond bounds, should an application make codes up.
fn bounded(code: &str) -> &'static str {
    static CODES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut codes = CODES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = codes.get(code) {
        return known;
    }
    if codes.len() == MAX_CODES {
        return OTHER;
    }
    let code = intern(code);
    codes.insert(code);
    code
}
