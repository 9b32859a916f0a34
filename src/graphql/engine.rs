//! The running of one operation: guard, parser, a task of its own, a time limit.

use std::{panic::AssertUnwindSafe, sync::Arc};

use async_graphql::{
    Request, Response, ServerError, Variables,
    parser::{
        parse_query,
        types::{ExecutableDocument, OperationDefinition, OperationType},
    },
};
use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Instrument;

use super::{
    CatalogueSchema, Exposure, Purpose,
    admission::{Gate, Place},
    arrange::Arrangement,
    coordinates::{Coordinates, introspects},
    dataloader::Batches,
    documents::{self, Document, DocumentId},
    library::Library,
    loaders::Catalogue,
    nulls::Shapes,
    present::{Answer, parse_error, server_error},
    size::json_size,
    trusted::{ManifestError, Trusted, sample},
    validator::Validator,
};
use crate::{
    backlog::Backlog,
    config::{Settings, documents::DocumentSettings, limits::Limits},
    database::Database,
    error::{Code, Error},
    security::Caller,
    telemetry::{
        graphql::{self as telemetry, Execution, Identity, Phase, Source},
        runtime::{profile::profiled, tasks, workers},
    },
};

/// Where operations come from.
const ROUTE: &str = "/graphql";

/// Runs operations.
#[derive(Clone)]
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
    shapes: Arc<Shapes>,
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
        self.understood.kind == OperationType::Mutation
    }
}

struct Understood {
    request: Request,
    kind: OperationType,
    root_field: &'static str,
    arrangement: Arc<Arrangement>,
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
        let shapes = Arc::new(Shapes::of(&told).await);
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
        for (name, definition, operation) in document.operations() {
            let mut request = Request::new(document.text.clone()).variables(sample(definition));
            request.operation_name = name.map(str::to_owned);
            request.set_parsed_query(document.parsed.clone());
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
        let span = telemetry.span();
        let _entered = span.enter();
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
        let (name, operation) = document.operation(asked).map_err(refused)?;
        let name = name.map(str::to_owned);
        let documents::Operation { kind, root_field, label, .. } = *operation;
        let identity = Identity {
            kind,
            root_field,
            name: name.clone(),
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
        let request = || {
            let mut request = Request::new(document.text.clone()).variables(variables.clone());
            request.operation_name.clone_from(&name);
            request.set_parsed_query(document.parsed.clone());
            request
        };
        if !is_sure {
            let errors = telemetry.phase(Phase::Validation, || self.validator.validate(request()));
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
        let arrangement = operation.arrangement.clone();
        Ok(Understood { request: request(), kind, root_field, arrangement, caller: raw.caller })
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

    /// Runs an operation as a task of its own. If the caller goes away, a query is aborted, and a
    /// mutation runs to its end.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn run(&self, operation: Operation) -> Answer {
        let Operation { understood, telemetry, place } = operation;
        let Understood { request, kind, root_field, arrangement, caller } = understood;
        let execution = telemetry.execution();
        // Sixteen kilobytes, which would be copied at each step from here to the runtime.
        let work = Box::pin(self.clone().execute(request, kind, arrangement, caller, execution));
        let work = work.inspect(move |_| drop(place));
        self.run_task(kind, root_field, work, telemetry).await
    }

    async fn run_task(
        &self,
        kind: OperationType,
        root_field: &'static str,
        work: impl Future<Output = Answer> + Send + Unpin + 'static,
        telemetry: telemetry::Operation,
    ) -> Answer {
        let span = telemetry.span();
        let since = telemetry.started();
        let tag = telemetry.tag(kind, root_field);
        let work = async move {
            // Caught here and not by the task's handle, so that the operation's telemetry says it.
            let work = AssertUnwindSafe(work).catch_unwind();
            let (result, profile) = if workers::are_watched() {
                let (result, profile) = profiled(since, work).await;
                (result, Some(profile))
            } else {
                (work.await, None)
            };
            let answer = result.unwrap_or_else(|_| {
                let error = Error::Internal("a resolver panicked".into());
                telemetry.fault(&error);
                Answer::refused(server_error(error))
            });
            telemetry.end(&answer.codes, profile.as_ref());
            answer
        };
        let task = tasks::spawn_operation(tag, self.running.track_future(work).instrument(span));
        let result = if kind == OperationType::Mutation {
            task.await
        } else {
            AbortOnDropHandle::new(task).await
        };
        result.unwrap_or_else(|_| {
            Answer::refused(server_error(Error::Internal("the operation was aborted".into())))
        })
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

    async fn execute(
        self,
        request: Request,
        kind: OperationType,
        arrangement: Arc<Arrangement>,
        caller: Caller,
        execution: Arc<Execution>,
    ) -> Answer {
        if let Some(problem) = self.db.problem() {
            return refused(Error::DatabaseUnavailable(problem.into()), &execution);
        }
        let (query, name) = (request.query.clone(), request.operation_name.clone());
        let batches = Batches::default();
        let request = request.data(Catalogue::new(&self.db, &batches, execution.clone(), caller));
        let running = batches.drive(self.schema.execute(request));
        let limit = self.limits.requests.operation_timeout;
        let ended = tokio::select! {
            ended = timeout(limit, running) => {
                ended.map_err(|_| Error::Timeout(format!("the operation ran for {limit:?}")))
            }
            () = self.db.lost() => Err(Error::DatabaseUnavailable("it was lost".into())),
        };
        let mut response = match ended {
            Ok(response) => response,
            Err(error) => return refused(error, &execution),
        };
        if !response.errors.is_empty() {
            self.put_nulls(&mut response, kind, &query, name.as_deref());
        }
        arrangement.apply(&mut response.data);
        let size = json_size(&response.data);
        if size > self.limits.requests.max_answer {
            let message = format!(
                "The answer is larger than {} bytes: ask for less of it.",
                self.limits.requests.max_answer
            );
            return Answer::refused(server_error(Error::Client(Code::LimitExceeded, message)));
        }
        let held = Some(self.backlog.hold(size).await);
        let answer = Answer { held, ..self.answer(response) };
        if let Some(fault) = answer.codes.iter().find(|code| code.is_server_fault()) {
            execution.fail(*fault);
        }
        answer
    }

    fn answer(&self, response: Response) -> Answer {
        Answer::new(response).with_at_most(self.limits.requests.max_errors)
    }

    /// Puts null where fields failed. The library has eaten the parsed document, and most answers
    /// have no errors: parsing again is cheaper than a copy for each.
    fn put_nulls(
        &self,
        response: &mut Response,
        kind: OperationType,
        query: &str,
        name: Option<&str>,
    ) {
        let root = if kind == OperationType::Mutation { "Mutation" } else { "Query" };
        if let Ok(document) = parse_query(query)
            && let Some(operation) = find(&document, name)
        {
            self.shapes.propagate(response, root, operation, &document);
        }
    }
}

/// The answer to an operation that a fault of the service kept from its end.
fn refused(error: Error, execution: &Execution) -> Answer {
    execution.fault(&error);
    Answer::refused(server_error(error))
}

/// The operation of that name, or the only one, of a document that has it.
fn find<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Option<&'a OperationDefinition> {
    let mut all = document.operations.iter();
    let found = match name {
        Some(name) => all.find(|(known, _)| known.is_some_and(|known| known == name)),
        None => all.next(),
    };
    found.map(|(_, operation)| &operation.node)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Cli;

    #[tokio::test]
    async fn a_panic_is_one_masked_error_and_the_next_operation_works() {
        let arguments = ["colophon", "--database-url", "sqlite::memory:"];
        let settings = Cli::parse_from(arguments).settings;
        let db = Database::open(&settings.database).await.unwrap();
        db.migrate_up().await.unwrap();
        let engine = Engine::new(db, &settings).await;

        let panics = Box::pin(async { panic!("the secret plan") });
        let telemetry = telemetry::Operation::start(&Source::Request);
        let answer = engine.run_task(OperationType::Query, "Query.books", panics, telemetry).await;
        let errors = serde_json::to_string(&answer.response.errors).unwrap();
        assert_eq!(answer.refusal, Some(Code::InternalServerError));
        assert!(errors.contains("INTERNAL_SERVER_ERROR") && !errors.contains("secret"), "{errors}");

        let query = "{ books { totalCount } }".to_owned();
        let operation = engine
            .prepare(RawRequest { query, caller: Caller::everybody(), ..RawRequest::default() })
            .await;
        let answer = engine.run(operation.unwrap_or_else(|_| panic!("refused"))).await;
        assert!(answer.response.errors.is_empty());
    }
}
