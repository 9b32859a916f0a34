//! Subscribes: finds out what a subscription follows, and executes its events.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_graphql::Response;
use graphql_telemetry::{graphql as telemetry, http::TRACERESPONSE, trace_context::traceparent};
use tokio::time::timeout;
use tokio_util::bytes::Bytes;

use super::{Engine, Operation, PreparedOperation, ROUTE};
use crate::{
    catalog::changes::ChangeFilter,
    error::{Code, Error},
    graphql::{
        context::{RequestContext, SubscriptionStep},
        dataloader::BatchScheduler,
        execution::{
            errors::{Rejection, mask_errors},
            subscriptions::{
                Event, Group, GroupKey, Place, Render, Source, Subscription, Subscriptions,
            },
        },
    },
    security::Caller,
};

/// Bytes of the document and the variables of a subscription, which are kept for as long as it lasts.
const MAX_SIZE: usize = 16 * 1024;

/// How long a subscription waits until the changes of other processes are heard.
const MAX_CONNECTING: Duration = Duration::from_secs(1);

impl Engine {
    /// Subscribes. The subscription has no permit, each of its events takes one.
    ///
    /// # Errors
    /// The response that says what is wrong with the subscription, or that there are too many.
    ///
    /// # Panics
    /// If the operation is no subscription.
    pub async fn subscribe(
        self: &Arc<Self>,
        operation: Operation,
        render: Render,
    ) -> Result<Subscription, Box<Response>> {
        let Operation { prepared, identity, size, caller, telemetry, permit, .. } = operation;
        let identity = identity.expect("the operation is a subscription");
        let variables = prepared.variables.to_json();
        let checked = self.check_subscription(size + variables.len());
        let selected = match checked {
            Ok(()) => self.select(&prepared, caller, &telemetry).await,
            Err(error) => Err(Rejection::from(error)),
        };
        drop(permit);
        let placed = match selected {
            Ok(filter) => self.follow(caller).await.map(|place| (filter, place)),
            Err(rejection) => Err(rejection),
        };
        let (filter, place) = match placed {
            Ok(placed) => placed,
            Err(Rejection(errors)) => {
                let mut response = Response::from_errors(errors);
                let codes = mask_errors(&mut response, self.limits.requests.max_errors);
                telemetry.end(&codes, None);
                return Err(Box::new(response));
            }
        };
        let key = GroupKey {
            document: identity.hash.clone(),
            operation: identity.name.clone(),
            variables,
            scopes: caller.scopes(),
        };
        let source = Source { prepared, identity, filter, render };
        let telemetry = telemetry.into_subscription();
        Ok(Subscriptions::join(self.clone(), key, source, caller, telemetry, place))
    }

    fn check_subscription(&self, size: usize) -> Result<(), Error> {
        if size > MAX_SIZE {
            let message = format!(
                "The document and the variables of a subscription have {size} bytes; {MAX_SIZE} are allowed."
            );
            return Err(Error::Client(Code::LimitExceeded, message));
        }
        match self.db.problem() {
            Some(problem) => Err(Error::DatabaseUnavailable(problem.into())),
            None => Ok(()),
        }
    }

    /// A place for a subscription, from which on it follows the changes of all processes.
    async fn follow(&self, caller: Caller) -> Result<Place, Rejection> {
        let place = self.subscriptions.place(caller.identity())?;
        let listening = self.db.notifier();
        if timeout(MAX_CONNECTING, listening.listening()).await.is_err() {
            return Err(Error::DatabaseUnavailable("changes are not heard".into()).into());
        }
        Ok(place)
    }

    /// What a subscription follows, by the resolver of its field (`CreateSourceEventStream` in the
    /// specification).
    async fn select(
        &self,
        prepared: &PreparedOperation,
        caller: Caller,
        telemetry: &telemetry::Operation,
    ) -> Result<ChangeFilter, Rejection> {
        let slot = Arc::<OnceLock<ChangeFilter>>::default();
        let batches = BatchScheduler::default();
        let context = RequestContext::new(&self.db, &batches, telemetry.execution(), caller)
            .in_step(SubscriptionStep::Select(slot.clone()));
        let response = self.schema.execute_event(prepared.request().data(context)).await;
        if let Some(Response { mut errors, .. }) = response {
            // Without a path, since nothing was executed: a response has no data then.
            for error in &mut errors {
                error.path.clear();
            }
            return Err(Rejection(errors));
        }
        let nothing =
            || Error::Client(Code::BadRequest, "The subscription selects nothing.".into());
        Ok(slot.get().cloned().ok_or_else(nothing)?)
    }

    /// The response to an event as JSON, for all subscriptions of the group, with the event's span in its
    /// extensions, as the header `traceresponse` has that of a request. None if the service is overloaded.
    pub async fn execute_event(self: &Arc<Self>, group: &Group, event: Event) -> Option<Bytes> {
        let source = group.source();
        let limit = self.limits.requests.operation_timeout;
        let caller = group.caller();
        let permit = self.concurrency.acquire_within(caller.identity(), limit).await.ok()?;
        let (links, count) = group.links(&event);
        let identity = source.identity.clone();
        let root_field = identity.root_field;
        let operation = Operation {
            prepared: source.prepared.clone(),
            root_field,
            identity: None,
            size: 0,
            caller,
            telemetry: telemetry::Operation::start_event(identity, ROUTE, links, count),
            permit,
            step: SubscriptionStep::Resolve(event),
        };
        let traceresponse = traceparent(operation.telemetry.context());
        let render = source.render.clone();
        let respond = move |mut response: Response| {
            let value = traceresponse.map(|it| (TRACERESPONSE.to_string(), it.into()));
            response.extensions.extend(value);
            render(response)
        };
        self.run(operation, respond).await.ok()
    }
}
