//! Runs GraphQL requests: waits for a permit, finds or compiles the document, and runs the operation as a task
//! of its own. Transports give it a [`Request`] and what they know beside it, and get a masked [`Response`].

mod executor;
mod run;
mod subscribe;

use std::sync::Arc;

use async_graphql::{Request, Response, Variables, parser::types::OperationType};
use graphql_telemetry::graphql::{self as telemetry, Identity, Phase, Source};
use tokio_util::task::TaskTracker;

pub use self::executor::EngineExecutor;
use crate::{
    config::{Settings, documents::DocumentSettings, limits::Limits},
    database::Database,
    error::{Code, Error},
    graphql::{
        CatalogSchema, SchemaOptions,
        context::SubscriptionStep,
        execution::{
            concurrency::{ConcurrencyLimit, Permit},
            documents::{
                Compiler, Document, DocumentId, PreparedOperation,
                cache::DocumentCache,
                trusted::{ManifestError, Trusted},
            },
            errors::{Rejection, mask_errors, request_error},
            subscriptions::Subscriptions,
        },
    },
    security::Caller,
};

/// Where operations come from.
const ROUTE: &str = "/graphql";

/// Runs operations.
pub struct Engine {
    schema: CatalogSchema,
    compiler: Compiler,
    documents: DocumentCache,
    /// Whether spans have the text of documents.
    trace_documents: bool,
    db: Database,
    limits: Limits,
    concurrency: ConcurrencyLimit,
    subscriptions: Subscriptions,
    running: TaskTracker,
}

/// What a transport knows of a request beside the request itself.
#[derive(Debug, Default)]
pub struct RequestInfo {
    /// Who sends it: by default a caller who may do nothing.
    pub caller: Caller,
    /// How it came.
    pub source: Source,
    /// Whether only what changes nothing may be run, as by GET.
    pub only_reads: bool,
    /// Whether the transport can send more than one response, as subscriptions need.
    pub streams: bool,
    /// What names the document, if its text is not sent.
    pub document_id: Option<DocumentId>,
}

/// An operation that may run.
pub struct Operation {
    prepared: Arc<PreparedOperation>,
    root_field: &'static str,
    /// Of a subscription: what its events are to telemetry.
    identity: Option<Identity>,
    /// Bytes of the document.
    size: usize,
    caller: Caller,
    telemetry: telemetry::Operation,
    permit: Permit,
    step: SubscriptionStep,
}

/// An operation whose variables are known.
struct Prepared {
    operation: PreparedOperation,
    identity: Identity,
    /// Bytes of the document.
    size: usize,
}

impl Operation {
    /// Whether it changes anything, so that it runs to its end though nobody waits for it.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        self.prepared.kind == OperationType::Mutation
    }

    /// Whether it is a subscription, for [`Engine::subscribe`] and not [`Engine::run`].
    #[must_use]
    pub fn is_subscription(&self) -> bool {
        self.prepared.kind == OperationType::Subscription
    }
}

impl Engine {
    /// An engine over `db`.
    #[must_use]
    pub fn new(db: Database, settings: &Settings) -> Self {
        let exposure = SchemaOptions {
            lab: settings.runtime.lab,
            introspection: !settings.security.production,
        };
        let schema = CatalogSchema::new(exposure);
        let compiler =
            Compiler::new(&schema.sdl(), &settings.limits.documents, exposure.introspection);
        Self {
            schema,
            compiler,
            documents: DocumentCache::new(&settings.documents),
            trace_documents: settings.trace_documents,
            subscriptions: Subscriptions::new(&settings.limits.subscriptions, db.notifier()),
            db,
            limits: settings.limits.clone(),
            concurrency: ConcurrencyLimit::new(&settings.limits.requests),
            running: TaskTracker::new(),
        }
    }

    /// This engine with the trusted documents that are set.
    ///
    /// # Errors
    /// If they cannot be read, or one of them is wrong.
    pub fn with_trusted_documents(
        mut self,
        settings: &DocumentSettings,
    ) -> Result<Self, ManifestError> {
        if let Some(path) = &settings.trusted_documents {
            let trusted = Trusted::read(path, |text| self.check(text))?;
            self.documents.trust(trusted);
        } else if settings.only_trusted {
            return Err(ManifestError::Missing);
        }
        Ok(self)
    }

    /// A trusted document, or what is wrong with it.
    fn check(&self, text: String) -> Result<Document, String> {
        let parsed = self.compiler.parse(&text);
        parsed.and_then(|parsed| self.compiler.compile(text, &parsed)).map_err(
            |Rejection(errors)| {
                let message = |error: &async_graphql::ServerError| {
                    error.source::<Error>().map_or(error.message.clone(), Error::public_message)
                };
                errors.first().map(message).unwrap_or_default()
            },
        )
    }

    /// Waits for a permit, checks and parses the request, and finds the operation to run.
    ///
    /// # Errors
    /// The response that says what is wrong with the document or its variables, or that there is no permit.
    pub async fn prepare(
        &self,
        mut request: Request,
        info: RequestInfo,
    ) -> Result<Operation, Box<Response>> {
        let caller = info.caller;
        let checked = self.limits.documents.check_variables(&request.variables);
        if checked.is_err() {
            // Values take up to 36 bytes for each byte of JSON: not kept while the operation waits for a permit.
            request.variables = Variables::default();
        }
        let permit = self.concurrency.acquire(caller.identity()).await.map_err(request_error)?;
        let mut telemetry = telemetry::Operation::start(&info.source);
        let _attached = telemetry.context().clone().attach();
        match self.prepare_operation(request, info, checked, &mut telemetry) {
            Ok(Prepared { operation, identity, size }) => {
                let is_subscription = operation.kind == OperationType::Subscription;
                Ok(Operation {
                    prepared: Arc::new(operation),
                    root_field: identity.root_field,
                    identity: is_subscription.then_some(identity),
                    size,
                    caller,
                    telemetry,
                    permit,
                    step: SubscriptionStep::None,
                })
            }
            Err(Rejection(errors)) => {
                let mut response = Response::from_errors(errors);
                let codes = mask_errors(&mut response, self.limits.requests.max_errors);
                telemetry.end(&codes, None);
                Err(Box::new(response))
            }
        }
    }

    /// The operation, and what it is to telemetry.
    fn prepare_operation(
        &self,
        request: Request,
        info: RequestInfo,
        checked: Result<(), Error>,
        telemetry: &mut telemetry::Operation,
    ) -> Result<Prepared, Rejection> {
        let Request { query, operation_name, variables, .. } = request;
        let (document, is_known) = self.document(info.document_id.as_ref(), query, telemetry)?;
        let name = operation_name.as_deref().filter(|name| !name.is_empty());
        let operation = document.operation(name)?;
        let identity = Identity {
            kind: operation.kind,
            root_field: operation.root_field,
            name: operation.name.clone(),
            label: operation.label,
            hash: Some(document.hex.clone()),
            is_known,
        };
        telemetry.identify(identity.clone(), ROUTE);
        if self.trace_documents {
            telemetry.document(document.redacted());
        }
        if info.only_reads && operation.kind == OperationType::Mutation
            || info.only_reads && !info.streams && operation.kind == OperationType::Subscription
        {
            let message = "Only a query can be sent by GET; send this operation by POST.";
            return Err(Error::Client(Code::MethodNotAllowed, message.into()).into());
        }
        if operation.kind == OperationType::Subscription && !info.streams {
            let message =
                "Subscribe by a WebSocket (graphql-transport-ws), or accept text/event-stream.";
            return Err(Error::Client(Code::NotAcceptable, message.into()).into());
        }
        checked?;
        let schema = self.compiler.schema();
        let operation = operation.prepare(schema, &self.limits.documents, variables)?;
        Ok(Prepared { operation, identity, size: document.text.len() })
    }

    /// The document that a request names or sends, and whether it was known.
    fn document(
        &self,
        id: Option<&DocumentId>,
        text: String,
        telemetry: &telemetry::Operation,
    ) -> Result<(Arc<Document>, bool), Rejection> {
        if let Some(document) = self.documents.find(id, &text)? {
            return Ok((document, true));
        }
        let parsed = telemetry.phase(Phase::Parsing, || self.compiler.parse(&text))?;
        let compile = || self.compiler.compile(text, &parsed);
        let document = Arc::new(telemetry.phase(Phase::Validation, compile)?);
        self.documents.insert(&document);
        Ok((document, false))
    }

    /// The subscriptions.
    #[must_use]
    pub const fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// Waits until no operation is running, not even one whose client has gone.
    pub async fn idle(&self) {
        self.running.close();
        self.running.wait().await;
    }
}
