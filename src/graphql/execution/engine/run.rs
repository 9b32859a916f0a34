//! The running of an operation that was understood: a task of its own, a time limit, the answer.

use std::{panic::AssertUnwindSafe, sync::Arc};

use async_graphql::{Response, parser::types::OperationType};
use futures_util::FutureExt;
use graphql_telemetry::graphql::{self as telemetry, Execution};
use opentelemetry::trace::FutureExt as _;
use runtime_insight::{timed, worker};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    error::{Code, Error},
    graphql::{
        compat::complete::complete,
        context::RequestContext,
        dataloader::BatchScheduler,
        execution::{
            documents::PreparedOperation,
            engine::{Engine, Operation, Understood},
            errors::{ExecutionResult, server_error},
            size::json_size,
        },
    },
    security::Caller,
};

impl Engine {
    /// Runs an operation as a task of its own. If the caller goes away, a query is aborted, and a
    /// mutation runs to its end.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn run(self: &Arc<Self>, operation: Operation) -> ExecutionResult {
        let Operation { understood, telemetry, permit } = operation;
        let Understood { prepared, root_field, caller } = understood;
        let kind = prepared.kind;
        let execution = telemetry.execution();
        // Sixteen kilobytes, which would be copied at each step from here to the runtime.
        let work = Box::pin(self.clone().execute(prepared, caller, execution));
        let work = work.inspect(move |_| drop(permit));
        self.run_task(kind, root_field, work, telemetry).await
    }

    async fn run_task(
        &self,
        kind: OperationType,
        root_field: &'static str,
        work: impl Future<Output = ExecutionResult> + Send + Unpin + 'static,
        telemetry: telemetry::Operation,
    ) -> ExecutionResult {
        let context = telemetry.context().clone();
        let since = telemetry.started();
        let tag = telemetry.tag(kind, root_field);
        let work = async move {
            // Caught here and not by the task's handle, so that the operation's telemetry says it.
            let work = AssertUnwindSafe(work).catch_unwind();
            let (result, profile) = if worker::is_watched() {
                let (result, profile) = timed(since, work).await;
                (result, Some(profile))
            } else {
                (work.await, None)
            };
            let answer = result.unwrap_or_else(|_| {
                let error = Error::Internal("a resolver panicked".into());
                telemetry.fault(&error);
                ExecutionResult::request_error(server_error(error))
            });
            telemetry.end(&answer.codes, profile.as_ref());
            answer
        };
        let task = runtime_insight::spawn_operation(
            tag,
            self.running.track_future(work).with_context(context),
        );
        let result = if kind == OperationType::Mutation {
            task.await
        } else {
            AbortOnDropHandle::new(task).await
        };
        result.unwrap_or_else(|_| {
            ExecutionResult::request_error(server_error(Error::Internal(
                "the operation was aborted".into(),
            )))
        })
    }

    async fn execute(
        self: Arc<Self>,
        prepared: PreparedOperation,
        caller: Caller,
        execution: Arc<Execution>,
    ) -> ExecutionResult {
        if let Some(problem) = self.db.problem() {
            return refused(Error::DatabaseUnavailable(problem.into()), &execution);
        }
        let batches = BatchScheduler::default();
        let catalogue = RequestContext::new(&self.db, &batches, execution.clone(), caller);
        let request = prepared.request().data(catalogue);
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
        complete(&mut response, &prepared.merged.fields);
        let size = json_size(&response.data);
        if size > self.limits.requests.max_answer {
            let message = format!(
                "The answer is larger than {} bytes: ask for less of it.",
                self.limits.requests.max_answer
            );
            return ExecutionResult::request_error(server_error(Error::Client(
                Code::LimitExceeded,
                message,
            )));
        }
        let held = Some(self.budget.reserve(size).await);
        let answer = ExecutionResult { held, ..self.answer(response) };
        if let Some(fault) = answer.codes.iter().find(|code| code.is_server_fault()) {
            execution.fail(*fault);
        }
        answer
    }

    pub(super) fn answer(&self, response: Response) -> ExecutionResult {
        ExecutionResult::new(response).with_at_most(self.limits.requests.max_errors)
    }
}

/// The answer to an operation that a fault of the service kept from its end.
fn refused(error: Error, execution: &Execution) -> ExecutionResult {
    execution.fault(&error);
    ExecutionResult::request_error(server_error(error))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{config::Cli, database::Database, graphql::execution::engine::RawRequest};
    use graphql_telemetry::graphql::Source;

    #[tokio::test]
    async fn a_panic_is_one_masked_error_and_the_next_operation_works() {
        let arguments = ["colophon", "--database-url", "sqlite::memory:"];
        let settings = Cli::parse_from(arguments).settings;
        let db = Database::open(&settings.database).await.unwrap();
        db.migrate_up().await.unwrap();
        let engine = Arc::new(Engine::new(db, &settings));

        let panics = Box::pin(async { panic!("the secret plan") });
        let telemetry = telemetry::Operation::start(&Source::Request);
        let answer = engine.run_task(OperationType::Query, "Query.books", panics, telemetry).await;
        let errors = serde_json::to_string(&answer.response.errors).unwrap();
        assert_eq!(answer.request_error_code, Some(Code::InternalServerError));
        assert!(errors.contains("INTERNAL_SERVER_ERROR") && !errors.contains("secret"), "{errors}");

        let query = "{ books { totalCount } }".to_owned();
        let operation = engine
            .prepare(RawRequest { query, caller: Caller::unrestricted(), ..RawRequest::default() })
            .await;
        let answer = engine.run(operation.unwrap_or_else(|_| panic!("refused"))).await;
        assert!(answer.response.errors.is_empty());
    }
}
