//! Subscriptions that are alike, and the task that executes their events.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use graphql_telemetry::graphql::{Identity, SubscriptionHandle};
use opentelemetry::trace::SpanContext;
use tokio::time::sleep_until;
use tokio_util::bytes::Bytes;

use super::{
    Render,
    events::{Event, Events, Next},
    queue::Queue,
};
use crate::{
    catalog::changes::{ChangeFilter, Changes},
    graphql::execution::{documents::PreparedOperation, engine::Engine},
    security::{Caller, Scopes},
};

/// The subscriptions of the group that an event's span has links to.
const MAX_LINKS: usize = 16;

/// What makes subscriptions alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupKey {
    /// The hash of the document.
    pub document: Option<Arc<str>>,
    /// The operation's name.
    pub operation: Option<Arc<str>>,
    /// The values of its variables, as JSON.
    pub variables: String,
    /// What its callers may do.
    pub scopes: Scopes,
}

/// What a group executes.
pub struct Source {
    /// The operation.
    pub prepared: Arc<PreparedOperation>,
    /// What it is to telemetry.
    pub identity: Identity,
    /// The changes that it follows.
    pub filter: ChangeFilter,
    /// What its responses become.
    pub render: Render,
}

/// Subscriptions that are alike.
pub struct Group {
    key: GroupKey,
    source: Source,
    /// On whose behalf events are executed: with the rights of all members, whenever those end.
    caller: Caller,
    members: Mutex<HashMap<u64, Arc<Member>>>,
    events: Mutex<Events>,
}

/// A subscription, as its group knows it.
pub struct Member {
    /// What tells of it.
    pub telemetry: SubscriptionHandle,
    /// What waits for its transport.
    pub queue: Queue,
}

impl Group {
    /// A group without members.
    #[must_use]
    pub fn new(key: GroupKey, source: Source, caller: Caller) -> Self {
        Self { key, source, caller, members: Mutex::default(), events: Mutex::default() }
    }

    /// What makes its members alike.
    #[must_use]
    pub const fn key(&self) -> &GroupKey {
        &self.key
    }

    /// What it executes.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// On whose behalf.
    #[must_use]
    pub const fn caller(&self) -> Caller {
        self.caller
    }

    /// Its members, by their numbers.
    pub fn members(&self) -> MutexGuard<'_, HashMap<u64, Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes those of the changes that it follows; none: some may have been missed.
    pub fn publish(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        changes: Option<&Changes>,
        limit: usize,
    ) {
        let new: Vec<_> = match changes {
            Some(changes) => changes
                .books
                .iter()
                .filter(|change| self.source.filter.matches(change))
                .map(|change| Event {
                    at: changes.at,
                    cause: changes.cause.clone(),
                    change: Some(change.clone()),
                })
                .collect(),
            None => vec![Event::refetch()],
        };
        if new.is_empty() {
            return;
        }
        let mut events = self.events();
        let dropped = events.add(new, limit);
        self.count_dropped(dropped);
        if events.start() {
            let run = execute_events(engine.clone(), self.clone());
            runtime_insight::spawn("subscription events", run);
        }
    }

    /// Spans that the span of an event has links to: what caused it, and some of the subscriptions.
    #[must_use]
    pub fn links(&self, event: &Event) -> (Vec<SpanContext>, usize) {
        let members = self.members();
        let spans = members.values().take(MAX_LINKS).map(|member| member.telemetry.span().clone());
        (event.cause.iter().cloned().chain(spans).collect(), members.len())
    }

    /// Hands the response to an event to all members.
    fn deliver(&self, at: SystemTime, json: &Bytes) {
        for member in self.members().values() {
            let dropped = member.queue.push(at, json.clone());
            if dropped > 0 {
                member.telemetry.dropped(dropped);
            }
        }
    }

    /// Has an event that could not be executed, as all that wait behind it, be told of later as missed.
    fn postpone(&self) {
        let dropped = self.events().postpone() + 1;
        self.count_dropped(dropped);
    }

    /// Counts events that no member is sent.
    fn count_dropped(&self, events: usize) {
        if events > 0 {
            self.members().values().for_each(|member| member.telemetry.dropped(events as u64));
        }
    }
}

async fn execute_events(engine: Arc<Engine>, group: Arc<Group>) {
    loop {
        let next = group.events().next();
        match next {
            Next::Execute(event) => {
                let at = event.at;
                match engine.execute_event(&group, event).await {
                    Some(json) => group.deliver(at, &json),
                    None => group.postpone(),
                }
            }
            Next::Wait(at) => sleep_until(at.into()).await,
            Next::End => return,
        }
    }
}
