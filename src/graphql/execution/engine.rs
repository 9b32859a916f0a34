//! What becomes of a request: there is room for it, its document is known or read, guarded and
//! validated, and its operation is run.

mod executor;
mod run;

use std::sync::Arc;

use async_graphql::{Response, parser::types::OperationType};
use graphql_telemetry::graphql::{self as telemetry, Identity, Phase, Source};
use tokio_util::task::TaskTracker;

pub use self::executor::EngineExecutor;
use crate::{
    config::{Settings, documents::DocumentSettings, limits::Limits},
    database::Database,
    error::{Code, Error},
    graphql::{
        CatalogSchema, SchemaOptions,
        execution::{
            concurrency::{ConcurrencyLimit, Permit},
            documents::{
                Compiler, Document, DocumentId, PreparedOperation,
                cache::DocumentCache,
                trusted::{ManifestError, Trusted},
            },
            errors::{ExecutionResult, Rejection, server_error},
        },
    },
    http::server::response_budget::ResponseBudget,
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
    budget: ResponseBudget,
    running: TaskTracker,
}

/// A request as the client sent it.
#[derive(Debug, Default)]
pub struct RawRequest {
    /// The document.
    pub query: String,
    /// What names the document, if its text is not sent.
    pub id: Option<DocumentId>,
    /// Which of its operations to run.
    pub operation_name: Option<String>,
    /// The values of its variables.
    pub variables: serde_json::Map<String, serde_json::Value>,
    /// Whether only a query may be run, as by GET.
    pub only_query: bool,
    /// Who sends it: nobody who may do anything, if nothing is said.
    pub caller: Caller,
    /// How it came.
    pub source: Source,
}

/// An operation that may run.
pub struct Operation {
    understood: Understood,
    telemetry: telemetry::Operation,
    permit: Permit,
}

impl Operation {
    /// Whether it changes anything, so that it runs to its end though nobody waits for it.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        self.understood.prepared.kind == OperationType::Mutation
    }
}

struct Understood {
    prepared: PreparedOperation,
    root_field: &'static str,
    caller: Caller,
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
            db,
            limits: settings.limits.clone(),
            concurrency: ConcurrencyLimit::new(&settings.limits.requests),
            budget: ResponseBudget::new(settings.limits.requests.max_backlog),
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

    /// Waits until there is room for an operation, checks and parses the request, and finds the
    /// operation to run.
    ///
    /// # Errors
    /// The answer that says what is wrong with the document, or that it does not have the
    /// operation; or that there is no room.
    pub async fn prepare(&self, raw: RawRequest) -> Result<Operation, Box<ExecutionResult>> {
        let permit = self
            .concurrency
            .acquire(raw.caller.identity())
            .await
            .map_err(|error| ExecutionResult::request_error(server_error(error)))?;
        let mut telemetry = telemetry::Operation::start(&raw.source);
        let _attached = telemetry.context().clone().attach();
        match self.understand(raw, &mut telemetry) {
            Ok(understood) => Ok(Operation { understood, telemetry, permit }),
            Err(Rejection(errors)) => {
                let answer = self.answer(Response::from_errors(errors));
                telemetry.end(&answer.codes, None);
                Err(Box::new(answer))
            }
        }
    }

    fn understand(
        &self,
        raw: RawRequest,
        telemetry: &mut telemetry::Operation,
    ) -> Result<Understood, Rejection> {
        let (document, is_known) = self.document(raw.id.as_ref(), raw.query, telemetry)?;
        let asked = raw.operation_name.as_deref().filter(|name| !name.is_empty());
        let operation = document.operation(asked)?;
        let identity = Identity {
            kind: operation.kind,
            root_field: operation.root_field,
            name: operation.name.clone(),
            label: operation.label,
            hash: Some(document.hex.clone()),
            is_known,
        };
        telemetry.identify(identity, ROUTE);
        if self.trace_documents {
            telemetry.document(document.redacted());
        }
        if raw.only_query && operation.kind != OperationType::Query {
            let message = "Only a query can be sent by GET; send this operation by POST.";
            return Err(Error::Client(Code::MethodNotAllowed, message.into()).into());
        }
        let schema = self.compiler.schema();
        let prepared = operation.prepare(schema, &self.limits.documents, raw.variables)?;
        Ok(Understood { prepared, root_field: operation.root_field, caller: raw.caller })
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

    /// The answers that are made and not yet taken.
    #[must_use]
    pub const fn response_budget(&self) -> &ResponseBudget {
        &self.budget
    }

    /// Waits until no operation is running, not even one whose client has gone.
    pub async fn idle(&self) {
        self.running.close();
        self.running.wait().await;
    }
}
