//! The engine as an [`Executor`] of async-graphql: any transport that takes one runs behind the engine's
//! limits, permits, time-outs and telemetry, and gets responses whose faults are masked.

use std::{any::TypeId, sync::Arc};

use async_graphql::{
    BatchRequest, BatchResponse, Data, Executor, Request, Response, futures_util::stream::BoxStream,
};
use futures_util::{FutureExt, StreamExt, stream};

use crate::{
    error::{Code, Error},
    graphql::execution::{
        engine::{Engine, RawRequest},
        errors::{ExecutionResult, server_error},
    },
    security::Caller,
};

/// Executes requests by an engine. Their [`data`](Request::data) may have the [`Caller`]; without one, the
/// executor's is the caller, who may do nothing unless it is set.
#[derive(Clone)]
pub struct EngineExecutor {
    engine: Arc<Engine>,
    caller: Caller,
}

impl EngineExecutor {
    /// Returns an executor whose callers may do nothing, unless a transport says who they are.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, caller: Caller::default() }
    }

    /// Sets who calls if a transport does not say it.
    #[must_use]
    pub const fn with_caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    fn request(&self, request: Request, session: Option<&Data>) -> Result<RawRequest, Error> {
        let caller = [Some(&request.data), session].into_iter().flatten().find_map(caller);
        let caller = caller.unwrap_or(self.caller);
        let variables = serde_json::to_value(request.variables.into_value());
        let Ok(serde_json::Value::Object(variables)) = variables else {
            let message = "The variables cannot be read: files are not accepted.";
            return Err(Error::Client(Code::BadRequest, message.into()));
        };
        let Request { query, operation_name, .. } = request;
        Ok(RawRequest { query, operation_name, variables, caller, ..RawRequest::default() })
    }

    async fn run(self, request: Request, session: Option<Arc<Data>>) -> Response {
        let raw = match self.request(request, session.as_deref()) {
            Ok(raw) => raw,
            Err(error) => return ExecutionResult::request_error(server_error(error)).response,
        };
        match self.engine.prepare(raw).await {
            Ok(operation) => self.engine.run(operation).await.response,
            Err(answer) => answer.response,
        }
    }
}

fn caller(data: &Data) -> Option<Caller> {
    data.get(&TypeId::of::<Caller>())?.downcast_ref().copied()
}

impl Executor for EngineExecutor {
    async fn execute(&self, request: Request) -> Response {
        self.clone().run(request, None).await
    }

    /// Rejects a batch: each request is one operation, so that limits hold for what a client sends.
    async fn execute_batch(&self, batch: BatchRequest) -> BatchResponse {
        match batch {
            BatchRequest::Single(request) => BatchResponse::Single(self.execute(request).await),
            BatchRequest::Batch(_) => {
                let message = "Several requests in one are not served.".into();
                let error = server_error(Error::Client(Code::BadRequest, message));
                BatchResponse::Single(ExecutionResult::request_error(error).response)
            }
        }
    }

    fn execute_stream(
        &self,
        request: Request,
        session: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let executor = self.clone();
        stream::once(async move { executor.run(request, session).await }.boxed()).boxed()
    }
}
