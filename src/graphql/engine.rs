//! What becomes of a request: there is room for it, its document is known or read, guarded and
//! validated, and its operation is run.

mod execution;

use std::sync::Arc;

use async_graphql::{
    Request, Response, ServerError, Variables,
    parser::{
        parse_query,
        types::{ExecutableDocument, OperationDefinition, OperationType},
    },
};
use tokio_util::task::TaskTracker;

use super::{
    CatalogueSchema, Exposure, Purpose,
    admission::{Gate, Place},
    coordinates::{Coordinates, introspects},
    documents::{self, Document, DocumentId},
    library::Library,
    nulls::Shapes,
    present::{Answer, parse_error, server_error},
    trusted::{ManifestError, Trusted, sample},
    validator::Validator,
};
use crate::{
    backlog::Backlog,
    config::{Settings, documents::DocumentSettings, limits::Limits},
    database::Database,
    error::{Code, Error},
    security::Caller,
    telemetry::graphql::{self as telemetry, Identity, Phase, Source},
};

/// Where operations come from.
const ROUTE: &str = "/graphql";

/// Runs operations.
pub struct Engine {
    schema: CatalogueSchema,
    validator: Validator,
    library: Library,
    /// Whether clients may ask for the schema.
    is_told: bool,
    /// Whether spans have the text of documents.
    tell_documents: bool,
    db: Database,
    limits: Limits,
    coordinates: Coordinates,
    shapes: Shapes,
    gate: Gate,
    backlog: Backlog,
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
    place: Place,
}

impl Operation {
    /// Whether it changes anything, so that it runs to its end though nobody waits for it.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        self.understood.operation.kind == OperationType::Mutation
    }
}

struct Understood {
    request: Request,
    document: Arc<Document>,
    operation: Arc<documents::Operation>,
    caller: Caller,
}

impl Engine {
    /// An engine over `db`.
    pub async fn new(db: Database, settings: &Settings) -> Self {
        let limits = &settings.limits.documents;
        let exposure = Exposure { lab: settings.runtime.lab, told: !settings.security.production };
        let schema = CatalogueSchema::new(limits, exposure, Purpose::Execution);
        let validator = Validator::new(limits, exposure);
        // We may know what clients may not.
        let told = Exposure { told: true, ..exposure };
        let told = CatalogueSchema::new(limits, told, Purpose::Execution);
        let coordinates = Coordinates::of(&told).await;
        let shapes = Shapes::of(&told).await;
        Self {
            schema,
            validator,
            library: Library::new(&settings.documents),
            is_told: exposure.told,
            tell_documents: settings.trace_documents,
            db,
            limits: settings.limits.clone(),
            coordinates,
            shapes,
            gate: Gate::new(&settings.limits.requests),
            backlog: Backlog::new(settings.limits.requests.max_backlog),
            running: TaskTracker::new(),
        }
    }

    /// This engine with the trusted documents that are set.
    ///
    /// # Errors
    /// If they cannot be read, or one of them is wrong.
    pub fn trusting(mut self, settings: &DocumentSettings) -> Result<Self, ManifestError> {
        if let Some(path) = &settings.trusted_documents {
            let trusted = Trusted::read(path, |text| self.check(text))?;
            self.library.trust(trusted);
        } else if settings.only_trusted {
            return Err(ManifestError::Missing);
        }
        Ok(self)
    }

    /// A trusted document, or what is wrong with it.
    fn check(&self, text: String) -> Result<Document, String> {
        let document = self.read(text).map_err(|error| match error.source::<Error>() {
            Some(error) => error.public_message(),
            None => error.message,
        })?;
        for (definition, operation) in document.operations() {
            let request = document.request(operation).variables(sample(definition));
            if let Some(error) = self.validator.validate(request).into_iter().next() {
                return Err(error.message);
            }
            operation.is_valid();
        }
        Ok(document)
    }

    /// Waits until there is room for an operation, checks and parses the request, and finds the
    /// operation to run.
    ///
    /// # Errors
    /// The answer that says what is wrong with the document, or that it does not have the
    /// operation; or that there is no room.
    pub async fn prepare(&self, raw: RawRequest) -> Result<Operation, Box<Answer>> {
        let place =
            self.gate.enter().await.map_err(|error| Answer::refused(server_error(error)))?;
        let mut telemetry = telemetry::Operation::start(&raw.source);
        let _attached = telemetry.context().clone().attach();
        match self.understand(raw, &mut telemetry) {
            Ok(understood) => Ok(Operation { understood, telemetry, place }),
            Err(errors) => {
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
    ) -> Result<Understood, Vec<ServerError>> {
        let refused = |error| vec![server_error(error)];
        let known = self.library.find(raw.id.as_ref(), &raw.query).map_err(refused)?;
        let is_known = known.is_some();
        let document = if let Some(document) = known {
            document
        } else {
            let read = telemetry.phase(Phase::Parsing, || self.read(raw.query));
            Arc::new(read.map_err(|error| vec![error])?)
        };
        self.limits.documents.check_variables(&raw.variables).map_err(refused)?;
        let asked = raw.operation_name.as_deref().filter(|name| !name.is_empty());
        let operation = document.operation(asked).map_err(refused)?.clone();
        let documents::Operation { kind, root_field, label, .. } = *operation;
        let identity = Identity {
            kind,
            root_field,
            name: operation.name.clone(),
            label,
            hash: document.hex.clone(),
            is_known,
        };
        telemetry.identify(identity, ROUTE);
        if raw.only_query && kind != OperationType::Query {
            let message = "Only a query can be sent by GET; send this operation by POST.";
            return Err(refused(Error::Client(Code::MethodNotAllowed, message.into())));
        }
        let is_sure = operation.is_sure_to_be_valid(&raw.variables);
        let variables = Variables::from_json(serde_json::Value::Object(raw.variables));
        if !is_sure {
            let request = document.request(&operation).variables(variables.clone());
            let errors = telemetry.phase(Phase::Validation, || self.validator.validate(request));
            if !errors.is_empty() {
                return Err(errors);
            }
            operation.is_valid();
            if !is_known {
                self.library.remember(&document);
            }
        }
        if self.tell_documents {
            // Not before: names that the schema does not have may be anything.
            telemetry.document(&document.redacted);
        }
        let request = document.request(&operation).variables(variables);
        Ok(Understood { request, document, operation, caller: raw.caller })
    }

    fn read(&self, text: String) -> Result<Document, ServerError> {
        let parsed = self.parse(&text)?;
        let coordinate = |operation: &OperationDefinition, document: &ExecutableDocument| {
            self.coordinates.of_operation(operation, document)
        };
        Ok(Document::new(text, parsed, coordinate))
    }

    fn parse(&self, query: &str) -> Result<ExecutableDocument, ServerError> {
        self.limits.documents.check_text(query).map_err(server_error)?;
        let document = parse_query(query).map_err(parse_error)?;
        self.limits.documents.check_document(&document).map_err(server_error)?;
        // The library would answer null, as if there were nothing to know.
        if !self.is_told && introspects(&document) {
            let message = "Introspection is switched off.".into();
            return Err(server_error(Error::Client(Code::GraphqlValidationFailed, message)));
        }
        Ok(document)
    }

    /// The answers that are made and not yet taken.
    #[must_use]
    pub const fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Waits until no operation is running, not even one whose client has gone.
    pub async fn idle(&self) {
        self.running.close();
        self.running.wait().await;
    }
}
