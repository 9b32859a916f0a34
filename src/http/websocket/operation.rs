//! An operation of a client: while it waits, while it runs, and what becomes of it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_graphql::{Request, Response};
use futures_util::future::AbortHandle;
use graphql_telemetry::graphql::EndReason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_tungstenite::tungstenite::Bytes;

use super::message::{ServerMessage, error_message};
use crate::{
    error::{Code, Error},
    graphql::execution::{
        engine::{Operation, RequestInfo},
        errors::{request_error, was_executed},
        subscriptions::Subscription,
    },
    http::{
        AppState,
        graphql::{Rendered, render, write},
    },
};

/// Operations that wait for others of their socket to end, the oldest first.
#[derive(Default)]
pub struct WaitingOperations {
    operations: VecDeque<WaitingOperation>,
    size: usize,
}

/// An operation that waits.
pub struct WaitingOperation {
    /// The client's id of it.
    pub id: String,
    /// What is asked.
    pub request: (Request, RequestInfo),
    /// Bytes of its message.
    pub size: usize,
}

impl WaitingOperations {
    /// Bytes of their messages.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Adds one.
    pub fn push(&mut self, operation: WaitingOperation) {
        self.size += operation.size;
        self.operations.push_back(operation);
    }

    /// Takes the one that has waited longest.
    pub fn pop(&mut self) -> Option<WaitingOperation> {
        let next = self.operations.pop_front()?;
        self.size -= next.size;
        Some(next)
    }

    /// Removes what the client no longer awaits.
    pub fn remove(&mut self, id: &str) {
        if let Some(place) = self.operations.iter().position(|it| it.id == id)
            && let Some(removed) = self.operations.remove(place)
        {
            self.size -= removed.size;
        }
    }

    /// Whether one has this id.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.operations.iter().any(|it| it.id == id)
    }
}

/// An operation whose response the client awaits.
pub struct ActiveOperation {
    /// Tells it from an earlier one with its id.
    pub number: u64,
    /// Aborts it.
    pub abort: AbortHandle,
    /// A mutation that has begun is not aborted: it would continue, and count as ended.
    pub is_mutation: Arc<AtomicBool>,
    /// What ends it, once it is a subscription.
    pub end: Option<oneshot::Sender<EndReason>>,
}

/// What became of an operation.
pub struct Done {
    /// The client's id of it.
    pub id: String,
    /// Its number among those of the socket.
    pub number: u64,
    /// What it came to.
    pub outcome: Outcome,
}

/// What an operation came to.
pub enum Outcome {
    /// It ran to its end.
    Messages(Vec<Bytes>),
    /// It is a subscription, which lasts.
    Subscribed(Box<(Subscription, OwnedSemaphorePermit)>),
}

impl ActiveOperation {
    /// The client awaits nothing more of it.
    pub fn complete(self) {
        if let Some(end) = self.end {
            // Fails if it has just ended.
            let _ = end.send(EndReason::Client);
        } else if !self.is_mutation.load(Ordering::Relaxed) {
            self.abort.abort();
        }
    }
}

/// What runs an operation.
pub struct Execution {
    /// What it runs on.
    pub state: Arc<AppState>,
    /// The client's id of the operation.
    pub id: String,
    /// Places for subscriptions.
    pub places: Arc<Semaphore>,
    /// Set when a mutation begins.
    pub is_mutation: Arc<AtomicBool>,
}

impl Execution {
    /// Runs the operation to its end or, where it is a subscription, to its start.
    pub async fn run(self, number: u64, (request, info): (Request, RequestInfo)) -> Done {
        let outcome = match self.state.engine.prepare(request, info).await {
            Ok(operation) if operation.is_subscription() => self.subscribe(operation).await,
            Ok(operation) => self.execute(operation).await,
            Err(response) => Outcome::Messages(messages(&self.state, &self.id, *response).await),
        };
        Done { id: self.id, number, outcome }
    }

    async fn execute(&self, operation: Operation) -> Outcome {
        self.is_mutation.store(operation.is_mutation(), Ordering::Relaxed);
        let (state, id) = (self.state.clone(), self.id.clone());
        let respond = async move |response| messages(&state, &id, response).await;
        let aborted = |_| {
            let error = Error::Internal("the operation was aborted".into());
            vec![error_message(&self.id, &request_error(error))]
        };
        Outcome::Messages(self.state.engine.run(operation, respond).await.unwrap_or_else(aborted))
    }

    /// Subscribes, if the socket has a place for it.
    async fn subscribe(&self, operation: Operation) -> Outcome {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let max = self.state.subscription_limits.max_socket_subscriptions;
            let message = format!("The socket has {max} subscriptions already.");
            let error = Error::Client(Code::LimitExceeded, message);
            return Outcome::Messages(vec![error_message(&self.id, &request_error(error))]);
        };
        match self.state.engine.subscribe(operation, render(self.state.clone())).await {
            Ok(subscription) => Outcome::Subscribed(Box::new((subscription, place))),
            Err(response) => Outcome::Messages(messages(&self.state, &self.id, *response).await),
        }
    }
}

/// The messages that a response is, their bytes reserved until they are sent.
async fn messages(state: &AppState, id: &str, response: Response) -> Vec<Bytes> {
    if !was_executed(&response) {
        return vec![error_message(id, &response)];
    }
    let next = ServerMessage::Next { id, payload: Rendered::from(&response) };
    match write(state, &next).await {
        Ok(next) => vec![Bytes::from_owner(next), ServerMessage::Complete { id }.to_json()],
        Err(too_large) => vec![error_message(id, &request_error(too_large))],
    }
}
