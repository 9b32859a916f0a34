//! The telemetry of operations as an extension of async-graphql.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_graphql::{
    Name, Positioned, QueryPathNode, QueryPathSegment, Response, ServerError, ServerResult,
    ValidationResult, Value, Variables,
    extensions::{
        Extension, ExtensionContext, ExtensionFactory, NextExecute, NextParseQuery, NextRequest,
        NextResolve, NextValidation, ResolveInfo,
    },
    parser::types::{
        DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
        SelectionSet,
    },
    registry::Registry,
};
use opentelemetry::trace::FutureExt as _;
use runtime_insight::{timed, worker};
use tokio::task::JoinHandle;

use super::{
    ErrorCode, Identity, Operation, OperationError, Phase, PhaseSpan, Source, count_error,
    current_context, field::coordinate, lazy::LazyFields,
};
use crate::text::intern;

/// The route of a stock endpoint, for comments in SQL.
const ROUTE: &str = "/graphql";
/// The root field of operations with several, and of those with one that the schema does not have.
const MULTIPLE: &str = "_MULTIPLE";
const OTHER: &str = "_OTHER";
/// Codes of errors that become labels, at most.
const MAX_CODES: usize = 256;
/// Fragments in one another that are looked into for root fields.
const MAX_DEPTH: usize = 32;

const PARSE_FAILED: ErrorCode = ErrorCode { name: "GRAPHQL_PARSE_FAILED", is_server_fault: false };
const VALIDATION_FAILED: ErrorCode =
    ErrorCode { name: "GRAPHQL_VALIDATION_FAILED", is_server_fault: false };
const INTERNAL: &str = "INTERNAL_SERVER_ERROR";

/// An extension for [`SchemaBuilder::extension`](async_graphql::SchemaBuilder::extension) that gives each
/// query and mutation a span, with spans of its phases and of the fields that wait or have statements, and
/// the metrics `graphql.server.*`. Subscriptions are not traced.
///
/// A field's span covers the fields below it too, since async-graphql resolves these in the field's
/// future; it is made for the response path without list indices, however long the lists.
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
        Arc::new(OperationExtension { classify: self.classify, state: Mutex::default() })
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
struct OperationExtension {
    classify: fn(&ServerError) -> ErrorCode,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    operation: Option<Operation>,
    /// The operations of its document, once it is parsed.
    document: Vec<Candidate>,
    /// The phase that failed.
    failed: Option<Phase>,
    /// While they are resolved.
    fields: Option<Arc<LazyFields>>,
}

/// An operation of a document.
struct Candidate {
    name: Option<String>,
    kind: OperationType,
    /// Its root field, if it has one only.
    root_field: Option<String>,
}

impl OperationExtension {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self, phase: Phase) -> Option<PhaseSpan> {
        let state = self.state();
        Some(PhaseSpan::start(phase, state.operation.as_ref()?.context()))
    }

    /// Begins the execution of the operation that is chosen.
    fn begin_execution(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
    ) -> Option<Arc<LazyFields>> {
        let state = &mut *self.state();
        let named =
            |it: &&Candidate| operation_name.is_none() || it.name.as_deref() == operation_name;
        let candidate = state.document.iter().find(named)?;
        let operation = state.operation.as_mut()?;
        operation.identify(candidate.identity(&ctx.schema_env.registry), ROUTE);
        let fields = Arc::new(LazyFields::new(operation.execution()));
        state.fields = Some(fields.clone());
        Some(fields)
    }

    fn codes(&self, response: &Response) -> Vec<ErrorCode> {
        match self.state().failed {
            Some(Phase::Parsing) => vec![PARSE_FAILED; response.errors.len()],
            Some(_) => vec![VALIDATION_FAILED; response.errors.len()],
            None => response.errors.iter().map(self.classify).collect(),
        }
    }
}

#[async_trait::async_trait]
impl Extension for OperationExtension {
    async fn request(&self, ctx: &ExtensionContext<'_>, next: NextRequest<'_>) -> Response {
        let operation = Operation::start(&Source::Request);
        let (started, context) = (operation.started(), operation.context().clone());
        self.state().operation = Some(operation);
        let work = Box::pin(next.run(ctx).with_context(context));
        let (response, time) = if worker::is_watched() {
            let (response, time) = timed(started, work).await;
            (response, Some(time))
        } else {
            (work.await, None)
        };
        let codes = self.codes(&response);
        for code in &codes {
            count_error(*code);
        }
        if let Some(operation) = self.state().operation.take() {
            operation.end(&codes, time.as_ref());
        }
        response
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
            Ok(document) => self.state().document = candidates(document),
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
        if result.is_err() {
            self.state().failed = Some(Phase::Validation);
        }
        result
    }

    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let Some(fields) = self.begin_execution(ctx, operation_name) else {
            // An event of a subscription.
            return next.run(ctx, operation_name).await;
        };
        let context = fields.execution().context().clone();
        let response = next.run(ctx, operation_name).with_context(context).await;
        if let Some(fault) = self.codes(&response).iter().find(|code| code.is_server_fault) {
            fields.execution().fail(*fault);
        }
        // The spans of the fields end here.
        self.state().fields = None;
        response
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
        let fields = self.state().fields.clone().filter(|_| is_traced);
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

/// The operations of a document.
fn candidates(document: &ExecutableDocument) -> Vec<Candidate> {
    let operations = match &document.operations {
        DocumentOperations::Single(operation) => vec![(None, operation)],
        DocumentOperations::Multiple(operations) => {
            operations.iter().map(|(name, operation)| (Some(name), operation)).collect()
        }
    };
    let candidate = |(name, operation): (Option<&Name>, &Positioned<OperationDefinition>)| {
        let mut fields = BTreeSet::new();
        root_fields(document, &operation.node.selection_set.node, &mut fields, MAX_DEPTH);
        let mut fields = fields.into_iter();
        let only = fields.next().filter(|_| fields.next().is_none());
        Candidate {
            name: name.map(ToString::to_string),
            kind: operation.node.ty,
            root_field: only.map(str::to_owned),
        }
    };
    operations.into_iter().map(candidate).collect()
}

/// The fields that are selected at the root, through as many fragments in one another as `depth`.
fn root_fields<'a>(
    document: &'a ExecutableDocument,
    selections: &'a SelectionSet,
    fields: &mut BTreeSet<&'a str>,
    depth: usize,
) {
    let Some(depth) = depth.checked_sub(1) else { return };
    for selection in &selections.items {
        match &selection.node {
            Selection::Field(field) => {
                fields.insert(field.node.name.node.as_str());
            }
            Selection::InlineFragment(fragment) => {
                root_fields(document, &fragment.node.selection_set.node, fields, depth);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    root_fields(document, &fragment.node.selection_set.node, fields, depth);
                }
            }
        }
    }
}

impl Candidate {
    /// What telemetry calls it: by names of the schema, and never by those of a client.
    fn identity(&self, registry: &Registry) -> Identity {
        let root = match self.kind {
            OperationType::Query => Some(&registry.query_type),
            OperationType::Mutation => registry.mutation_type.as_ref(),
            OperationType::Subscription => registry.subscription_type.as_ref(),
        };
        let is_known = |name: &&String| {
            let root = root.and_then(|root| registry.types.get(root));
            root.is_some_and(|root| root.field_by_name(name).is_some())
        };
        let root_field = match (&self.root_field, root) {
            (None, _) => MULTIPLE,
            (Some(name), Some(root)) if is_known(&name) => coordinate(root, name),
            _ => OTHER,
        };
        Identity {
            kind: self.kind,
            root_field,
            name: self.name.as_deref().map(Arc::from),
            label: None,
            hash: None,
            is_known: false,
        }
    }
}
