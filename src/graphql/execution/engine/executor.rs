//! The engine as an [`Executor`] of async-graphql: any transport that takes one runs behind the engine's
//! limits, permits, time-outs and telemetry, and gets responses whose faults are masked.

use std::{any::TypeId, future::ready, sync::Arc};

use async_graphql::{
    BatchRequest, BatchResponse, Data, Executor, Request, Response, futures_util::stream::BoxStream,
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use tokio_util::bytes::Bytes;

use crate::{
    error::{Code, Error},
    graphql::execution::{
        engine::{Engine, Operation, RequestInfo},
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
        match self.prepare(request, session.as_deref(), false).await {
            Ok(operation) => self.finish(operation).await,
            Err(response) => *response,
        }
    }

    async fn prepare(
        &self,
        request: Request,
        session: Option<&Data>,
        streams: bool,
    ) -> Result<Operation, Box<Response>> {
        let data = [Some(&request.data), session];
        let caller = data.into_iter().flatten().find_map(caller).unwrap_or(self.caller);
        if !request.uploads.is_empty() {
            return Err(Box::new(bad_request("Files are not accepted.")));
        }
        let info = RequestInfo { caller, streams, ..RequestInfo::default() };
        self.engine.prepare(request, info).await
    }

    async fn finish(&self, operation: Operation) -> Response {
        self.engine
            .run(operation, ready)
            .await
            .unwrap_or_else(|_| request_error(Error::Internal("the operation was aborted".into())))
    }

    /// The responses to a request: one, or those to the events of a subscription.
    async fn responses(
        self,
        request: Request,
        session: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let subscribed = match self.prepare(request, session.as_deref(), true).await {
            Ok(operation) if operation.is_subscription() => {
                self.engine.subscribe(operation, Arc::new(to_json)).await
            }
            Ok(operation) => Err(Box::new(self.finish(operation).await)),
            Err(response) => Err(response),
        };
        match subscribed {
            Ok(subscription) => stream::unfold(subscription, async |mut subscription| {
                Some((from_json(&subscription.next().await), subscription))
            })
            .boxed(),
            Err(response) => stream::once(ready(*response)).boxed(),
        }
    }
}

fn to_json(response: Response) -> BoxFuture<'static, Bytes> {
    ready(serde_json::to_vec(&response).unwrap_or_default().into()).boxed()
}

fn from_json(json: &[u8]) -> Response {
    serde_json::from_slice(json).unwrap_or_else(|error| {
        request_error(Error::Internal(format!("a response cannot be read: {error}")))
    })
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
        executor.responses(request, session).flatten_stream().boxed()
    }
}
