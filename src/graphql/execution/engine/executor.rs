//! The engine as an [`Executor`] of async-graphql: any transport that takes one runs behind the engine's
//! limits, permits, time-outs and telemetry, and gets responses whose faults are masked.

use std::{any::TypeId, future::ready, sync::Arc};

use async_graphql::{
    BatchRequest, BatchResponse, Data, Executor, Request, Response, futures_util::stream::BoxStream,
};
use futures_util::{FutureExt, StreamExt, stream};

use crate::{
    error::{Code, Error},
    graphql::execution::{
        engine::{Engine, RequestInfo},
        errors::request_error,
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

    async fn run(self, request: Request, session: Option<Arc<Data>>) -> Response {
        let data = [Some(&request.data), session.as_deref()];
        let caller = data.into_iter().flatten().find_map(caller).unwrap_or(self.caller);
        if !request.uploads.is_empty() {
            return bad_request("Files are not accepted.");
        }
        let info = RequestInfo { caller, ..RequestInfo::default() };
        match self.engine.prepare(request, info).await {
            Ok(operation) => self.engine.run(operation, ready).await.unwrap_or_else(|_| {
                request_error(Error::Internal("the operation was aborted".into()))
            }),
            Err(response) => *response,
        }
    }
}

fn bad_request(message: &str) -> Response {
    request_error(Error::Client(Code::BadRequest, message.into()))
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
                BatchResponse::Single(bad_request("Batched requests are not supported."))
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
