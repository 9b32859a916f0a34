//! Subscriptions, as section 6.2.3 of the specification has them: each follows a source of events, and its selection
//! set is executed for each event.
//!
//! Those that are alike (document, operation, variables, rights) are a group, for which an event is executed once:
//!
//! ```text
//! notifications ─► Subscriptions ─► Group: filter, events that wait ─► an operation for each event, one
//!                                                                      after the other
//!                                     ▲ subscribe                        │ its response as JSON
//!                   transport ◄─── Subscription: responses that wait ◄───┘ to each of the group
//! ```
//!
//! Both queues are bounded. What does not fit is dropped, and who misses it is sent an event that says so
//! ([`Event::refetch`]), as after a gap in the notifications.

mod events;
mod group;
mod places;
mod queue;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_graphql::Response;
use futures_util::future::BoxFuture;
use graphql_telemetry::graphql::{self as telemetry, EndReason};
use tokio::time::sleep;
use tokio_util::bytes::Bytes;

use self::{
    events::BURST,
    group::Member,
    places::Places,
    queue::{Queue, Taken},
};
pub use self::{
    events::Event,
    group::{Group, GroupKey, Source},
};
use crate::{
    catalog::changes::Changes,
    config::limits::SubscriptionLimits,
    database::notifier::{Follower, Notification, Notifier},
    error::Result,
    graphql::execution::engine::Engine,
    security::{self, Caller},
};

/// Makes of a response to an event what transports send: its JSON, with its bytes reserved until all have sent it.
pub type Render = Arc<dyn Fn(Response) -> BoxFuture<'static, Bytes> + Send + Sync>;

/// All subscriptions of the service.
pub struct Subscriptions {
    groups: Mutex<HashMap<GroupKey, Arc<Group>>>,
    places: Places,
    /// Responses that wait for a subscription's transport.
    max_queue: usize,
    last_number: AtomicU64,
    notifier: Notifier,
}

/// The place of a subscription, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _place: places::Place,
    _follower: Follower,
}

impl Subscriptions {
    /// No subscriptions yet.
    #[must_use]
    pub fn new(limits: &SubscriptionLimits, notifier: Notifier) -> Self {
        Self {
            groups: Mutex::default(),
            places: Places::new(limits),
            max_queue: limits.max_subscription_queue,
            last_number: AtomicU64::new(0),
            notifier,
        }
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<GroupKey, Arc<Group>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a subscription, for which the changes of other processes are listened for.
    ///
    /// # Errors
    /// If there are too many, in all or of this caller.
    pub fn place(&self, whose: security::Identity) -> Result<Place> {
        Ok(Place { _place: self.places.take(whose)?, _follower: self.notifier.follow() })
    }

    /// Hands events to the groups that follow them, until the process ends.
    pub async fn dispatch(engine: Arc<Engine>) {
        let subscriptions = engine.subscriptions();
        let mut notifications = subscriptions.notifier.subscribe();
        while let Some(notification) = notifications.next().await {
            let changes = match &notification {
                Notification::Message(message) => Changes::read(message),
                Notification::Lost => None,
            };
            for group in subscriptions.groups().values() {
                group.publish(&engine, changes.as_ref(), subscriptions.max_queue);
            }
        }
    }

    /// Adds a subscription.
    #[must_use]
    pub fn join(
        engine: Arc<Engine>,
        key: GroupKey,
        source: Source,
        caller: Caller,
        telemetry: telemetry::Subscription,
        place: Place,
    ) -> Subscription {
        let subscriptions = engine.subscriptions();
        let number = subscriptions.last_number.fetch_add(1, Ordering::Relaxed);
        let queue = Queue::new(subscriptions.max_queue);
        let member = Arc::new(Member { telemetry: telemetry.handle(), queue });
        let group = {
            let mut groups = subscriptions.groups();
            let group = groups.entry(key).or_insert_with_key(|key| {
                let caller = Caller::new(key.scopes).known_as(caller.identity());
                Arc::new(Group::new(key.clone(), source, caller))
            });
            group.members().insert(number, member.clone());
            group.clone()
        };
        Subscription { engine, group, member, number, telemetry, has_missed: false, _place: place }
    }

    /// Removes a subscription, and its group if it was the last.
    fn leave(&self, group: &Arc<Group>, number: u64) {
        let mut groups = self.groups();
        let is_last = {
            let mut members = group.members();
            members.remove(&number);
            members.is_empty()
        };
        if is_last {
            groups.remove(group.key());
        }
    }
}

/// A subscription that a transport serves. It ends when it is dropped.
pub struct Subscription {
    engine: Arc<Engine>,
    group: Arc<Group>,
    member: Arc<Member>,
    number: u64,
    telemetry: telemetry::Subscription,
    /// Whether its client is to be told that it missed events.
    has_missed: bool,
    _place: Place,
}

impl Subscription {
    /// Waits for the next response, as JSON. Cancel-safe.
    pub async fn next(&mut self) -> Bytes {
        loop {
            if self.has_missed {
                if let Some(json) = self.refetch().await {
                    self.has_missed = false;
                    return json;
                }
                // The service is overloaded.
                sleep(BURST).await;
                continue;
            }
            match self.member.queue.take().await {
                Taken::Response(at, json) => {
                    self.telemetry.delivered(at);
                    return json;
                }
                Taken::Missed => self.has_missed = true,
            }
        }
    }

    /// The response to an event that says that others were missed. None if the service is too busy.
    async fn refetch(&self) -> Option<Bytes> {
        let event = Event::refetch();
        let at = event.at;
        let json = self.engine.execute_event(&self.group, event).await?;
        self.telemetry.delivered(at);
        Some(json)
    }

    /// Ends it.
    pub fn end(mut self, reason: EndReason) {
        self.telemetry.ends(reason);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.engine.subscriptions().leave(&self.group, self.number);
    }
}
