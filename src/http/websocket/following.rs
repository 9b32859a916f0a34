//! A subscription of a client.

use graphql_telemetry::graphql::EndReason;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_tungstenite::tungstenite::Bytes;

use crate::graphql::execution::subscriptions::Subscription;

/// What a subscription came to.
pub enum Followed {
    /// A response, and the subscription from there on.
    Next(Box<Following>, Bytes),
    /// Nothing more.
    Ended,
}

/// A subscription of the client.
pub struct Following {
    id: String,
    subscription: Subscription,
    ended: oneshot::Receiver<EndReason>,
    _place: OwnedSemaphorePermit,
}

impl Following {
    /// A subscription with its place on the socket, until `ended` says why it ends.
    #[must_use]
    pub fn new(
        id: String,
        (subscription, place): (Subscription, OwnedSemaphorePermit),
        ended: oneshot::Receiver<EndReason>,
    ) -> Self {
        Self { id, subscription, ended, _place: place }
    }

    /// The client's id of it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Waits for the next response, or the end.
    pub async fn next(mut self: Box<Self>) -> Followed {
        tokio::select! {
            biased;
            reason = &mut self.ended => {
                self.subscription.end(reason.unwrap_or(EndReason::Disconnected));
                Followed::Ended
            }
            json = self.subscription.next() => Followed::Next(self, json),
        }
    }
}
