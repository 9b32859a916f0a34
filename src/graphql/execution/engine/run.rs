//! Runs a prepared operation: a task of its own, a time limit, the response.

use std::{panic::AssertUnwindSafe, sync::Arc};

use async_graphql::{Response, parser::types::OperationType};
use futures_util::FutureExt;
use graphql_telemetry::graphql::{self as telemetry, Execution};
use opentelemetry::trace::FutureExt as _;
use runtime_insight::{timed, worker};
use tokio::{task::JoinError, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{Engine, Operation};
use crate::{
    error::{Code, Error},
    graphql::{
        compat::completion::complete,
        context::{RequestContext, SubscriptionStep},
        dataloader::BatchScheduler,
        execution::{
            documents::PreparedOperation,
            errors::{mask_errors, request_error},
        },
    },
    security::Caller,
};

/// What names an operation's task.
struct Name {
    kind: OperationType,
    root_field: &'static str,
}

impl Engine {
    /// Runs an operation as a task of its own, and has that task make of the response what the transport
    /// sends. If the future is dropped, a query is aborted, and a mutation runs to its end.
    ///
    /// # Errors
    /// If `respond` panics, or the runtime is shut down.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn run<T, F>(
        self: &Arc<Self>,
        operation: Operation,
        respond: impl FnOnce(Response) -> F + Send + 'static,
    ) -> Result<T, JoinError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send,
    {
        let Operation { prepared, root_field, caller, telemetry, permit, step, .. } = operation;
        let name = Name { kind: prepared.kind, root_field };
        let execution = telemetry.execution();
        // Sixteen kilobytes, which would be copied at each step from here to the runtime.
        let work = Box::pin(self.clone().execute(prepared, caller, execution, step));
        let respond = move |response| {
            // So that no more responses than permits are made into bytes at a time.
            respond(response).inspect(move |_| drop(permit))
        };
        self.run_task(name, work, telemetry, respond).await
    }

    async fn run_task<T, F>(
        &self,
        name: Name,
        work: impl Future<Output = (Response, Vec<Code>)> + Send + Unpin + 'static,
        telemetry: telemetry::Operation,
        respond: impl FnOnce(Response) -> F + Send + 'static,
    ) -> Result<T, JoinError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send,
    {
        let Name { kind, root_field } = name;
        let context = telemetry.context().clone();
        let since = telemetry.started();
        let tag = telemetry.tag(kind, root_field);
        let work = async move {
            // Caught here and not by the task's handle, so that the operation's telemetry has it.
            let work = AssertUnwindSafe(work).catch_unwind();
            let (result, profile) = if worker::is_watched() {
                let (result, profile) = timed(since, work).await;
                (result, Some(profile))
            } else {
                (work.await, None)
            };
            let (response, codes) = result.unwrap_or_else(|_| {
                let error = Error::Internal("a resolver panicked".into());
                telemetry.fault(&error);
                failed(error)
            });
            telemetry.end(&codes, profile.as_ref());
            respond(response).await
        };
        let task = runtime_insight::spawn_operation(
            tag,
            self.running.track_future(work).with_context(context),
        );
        if kind == OperationType::Mutation {
            task.await
        } else {
            AbortOnDropHandle::new(task).await
        }
    }

    /// The masked response, and the codes of its errors.
    async fn execute(
        self: Arc<Self>,
        prepared: Arc<PreparedOperation>,
        caller: Caller,
        execution: Arc<Execution>,
        step: SubscriptionStep,
    ) -> (Response, Vec<Code>) {
        let fail = |error: Error| {
            execution.fault(&error);
            failed(error)
        };
        if let Some(problem) = self.db.problem() {
            return fail(Error::DatabaseUnavailable(problem.into()));
        }
        let batches = BatchScheduler::default();
        let context =
            RequestContext::new(&self.db, &batches, execution.clone(), caller).in_step(step);
        let request = prepared.request().data(context);
        let running = batches.drive(async {
            if prepared.kind == OperationType::Subscription {
                self.schema.execute_event(request).await.unwrap_or_default()
            } else {
                self.schema.execute(request).await
            }
        });
        let limit = self.limits.requests.operation_timeout;
        let ended = tokio::select! {
            ended = timeout(limit, running) => {
                ended.map_err(|_| Error::Timeout(format!("the operation ran for {limit:?}")))
            }
            () = self.db.lost() => Err(Error::DatabaseUnavailable("it was lost".into())),
        };
        let mut response = match ended {
            Ok(response) => response,
            Err(error) => return fail(error),
        };
        complete(&mut response, &prepared.merged.fields);
        let codes = mask_errors(&mut response, self.limits.requests.max_errors);
        if let Some(fault) = codes.iter().find(|code| code.is_server_fault()) {
            execution.fail(*fault);
        }
        (response, codes)
    }
}

/// The response to an operation that did not run to its end.
fn failed(error: Error) -> (Response, Vec<Code>) {
    let codes = vec![error.code()];
    (request_error(error), codes)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use async_graphql::Request;
    use clap::Parser;

    use super::*;
    use crate::{
        config::Cli,
        database::Database,
        graphql::execution::{engine::RequestInfo, errors::request_error_code},
    };
    use graphql_telemetry::graphql::Source;

    #[tokio::test]
    async fn masks_a_panic_and_runs_the_next_operation() {
        let arguments = ["colophon", "--database-url", "sqlite::memory:"];
        let settings = Cli::parse_from(arguments).settings;
        let db = Database::open(&settings.database).await.unwrap();
        db.migrate_up().await.unwrap();
        let engine = Arc::new(Engine::new(db, &settings));

        let panics = Box::pin(async { panic!("the secret plan") });
        let telemetry = telemetry::Operation::start(&Source::Request);
        let name = Name { kind: OperationType::Query, root_field: "Query.books" };
        let response = engine.run_task(name, panics, telemetry, ready).await.unwrap();
        let errors = serde_json::to_string(&response.errors).unwrap();
        assert_eq!(request_error_code(&response), Some(Code::InternalServerError));
        assert!(errors.contains("INTERNAL_SERVER_ERROR") && !errors.contains("secret"), "{errors}");

        let info = RequestInfo { caller: Caller::unrestricted(), ..RequestInfo::default() };
        let operation =
            engine.prepare(Request::new("{ books { totalCount } }"), info).await.unwrap();
        assert!(engine.run(operation, ready).await.unwrap().errors.is_empty());
    }
}
