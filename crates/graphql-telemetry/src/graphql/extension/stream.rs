//! Operations whose responses are a stream: subscriptions, and the queries and mutations of a WebSocket.
//!
//! async-graphql calls `execute` for each event of a subscription, and nothing when the resolver of its field has
//! returned their stream. So it is open as soon as that resolver or the first event is waited for.

use std::{
    task::{Context as TaskContext, Poll},
    time::{Instant, SystemTime},
};

use async_graphql::{
    Request, Response,
    extensions::{ExtensionContext, NextExecute},
    parser::types::OperationType,
    registry::Registry,
};
use futures_util::{
    StreamExt,
    future::poll_fn,
    stream::{self, BoxStream},
};
use opentelemetry::Context;
use runtime_insight::TaskTime;

use super::{OperationExtension, ROUTE, State, measured};
use crate::graphql::{Identity, Operation, Subscription};

/// What is known of an operation whose responses are a stream.
#[derive(Default)]
pub(super) struct StreamState {
    /// The operation of its document that is requested.
    operation_name: Option<String>,
    /// Of a subscription whose document is valid.
    identity: Option<Identity>,
    /// Once it is open.
    subscription: Option<Subscription>,
    /// The context of what is done on behalf of the open subscription beside its events.
    context: Option<Context>,
    /// When the event came whose response is next in the stream.
    event: Option<SystemTime>,
}

impl State {
    /// Remembers which operation is requested.
    pub(super) fn prepare(&mut self, request: &Request) {
        if let Some(stream) = &mut self.stream {
            stream.operation_name.clone_from(&request.operation_name);
        }
    }

    /// Identifies the operation if it is a subscription; others are as soon as they are executed.
    pub(super) fn identify_subscription(&mut self, registry: &Registry) {
        let (Some(stream), Some(operation)) = (&mut self.stream, &mut self.operation) else {
            return;
        };
        let candidate = self.candidates.select(stream.operation_name.as_deref());
        if let Some(candidate) = candidate.filter(|it| it.kind == OperationType::Subscription) {
            let identity = candidate.identity(registry);
            operation.identify(identity.clone(), ROUTE);
            stream.identity = Some(identity);
        }
    }

    /// Returns the subscription, which is opened if it is not yet; none if it has no valid document.
    fn open(&mut self) -> Option<&mut Subscription> {
        let stream = self.stream.as_mut()?;
        let is_valid = stream.identity.is_some();
        if let Some(operation) = self.operation.take_if(|_| is_valid) {
            stream.context = Some(operation.scoped_context());
            stream.subscription = Some(operation.into_subscription());
        }
        stream.subscription.as_mut()
    }

    /// Starts an event, in a trace of its own; none if the operation is not a subscription.
    pub(super) fn start_event(&mut self) -> Option<Operation> {
        let subscription = self.open()?.handle();
        let identity = self.stream.as_ref()?.identity.clone()?;
        Some(Operation::start_event(identity, ROUTE, [subscription.span().clone()], 1))
    }

    /// Records that the response to an event is delivered, and returns whether there is one.
    fn deliver_event(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        match (stream.event.take(), &stream.subscription) {
            (Some(at), Some(subscription)) => subscription.delivered(at),
            _ => return false,
        }
        true
    }

    /// Returns the context that the stream is polled in.
    fn context(&self) -> Context {
        let of_operation = self.operation.as_ref().map(Operation::scoped_context);
        let open = || self.stream.as_ref()?.context.clone();
        of_operation.or_else(open).unwrap_or_else(Context::current)
    }
}

impl OperationExtension {
    /// Executes the selection set of a subscription for an event.
    pub(super) async fn execute_event(
        &self,
        event: Operation,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let at = SystemTime::now();
        let parent = event.scoped_context();
        let work = Box::pin(self.execute_in(&parent, ctx, operation_name, next));
        let (response, time) = measured(event.started(), work).await;
        event.end(&self.count_errors(&response), time.as_ref());
        if let Some(stream) = &mut self.state().stream {
            stream.event = Some(at);
        }
        response
    }
}

/// A stream of responses whose operation is traced. Dropping it before its end drops the operation.
pub(super) struct Traced<'s> {
    extension: OperationExtension,
    started: Instant,
    stream: BoxStream<'s, Response>,
}

impl<'s> Traced<'s> {
    /// Starts the operation that `stream` executes.
    pub fn start(extension: OperationExtension, stream: BoxStream<'s, Response>) -> Self {
        let (started, _) = extension.start();
        extension.state().stream = Some(StreamState::default());
        Self { extension, started, stream }
    }

    /// Returns the same responses.
    pub fn into_stream(self) -> BoxStream<'s, Response> {
        let next = |mut traced: Self| async move {
            let response = traced.next().await?;
            Some((response, traced))
        };
        Box::pin(stream::unfold(self, next))
    }

    async fn next(&mut self) -> Option<Response> {
        let started = self.started;
        let (response, time) = measured(started, poll_fn(|task| self.poll(task))).await;
        match &response {
            Some(response) => self.deliver(response, time.as_ref()),
            None => self.complete(),
        }
        response
    }

    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<Option<Response>> {
        let context = self.extension.state().context();
        let _attached = context.attach();
        let poll = self.stream.poll_next_unpin(task);
        if poll.is_pending() {
            self.extension.state().open();
        }
        poll
    }

    /// Records a response: of an event, or the only one of an operation.
    fn deliver(&self, response: &Response, time: Option<&TaskTime>) {
        if self.extension.state().deliver_event() {
            return;
        }
        let codes = self.extension.end(response, time);
        let mut state = self.extension.state();
        let subscription = state.stream.as_mut().and_then(|stream| stream.subscription.as_mut());
        if let Some(subscription) = subscription.filter(|_| !codes.is_empty()) {
            subscription.fail(&codes);
        }
    }

    fn complete(&self) {
        if let Some(subscription) = self.extension.state().open() {
            subscription.complete();
        }
    }
}
