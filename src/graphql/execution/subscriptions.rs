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

mod places;
mod queue;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use async_graphql::Response;
use futures_util::future::BoxFuture;
use graphql_telemetry::graphql::{self as telemetry, EndReason, Identity};
use opentelemetry::trace::SpanContext;
use tokio::time::sleep_until;
use tokio_util::bytes::Bytes;

use self::{places::Places, queue::Queue};
use crate::{
    catalog::changes::{BookChange, ChangeFilter, Changes},
    config::limits::SubscriptionLimits,
    database::notifier::{Follower, Notification, Notifier},
    error::Result,
    graphql::execution::{documents::PreparedOperation, engine::Engine},
    security::{self, Caller, Scopes},
};

/// The subscriptions of the group that an event's span has links to.
const MAX_LINKS: usize = 16;

/// How long after more events than can wait further ones are taken for more of the same.
const BURST: Duration = Duration::from_secs(1);

/// Makes of a response to an event what transports send: its JSON, with its bytes reserved until all have sent it.
pub type Render = Arc<dyn Fn(Response) -> BoxFuture<'static, Bytes> + Send + Sync>;

/// What a subscription's selection set is executed for.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it happened.
    pub at: SystemTime,
    /// The span that made it happen, if that is traced.
    pub cause: Option<SpanContext>,
    /// What happened to a book. None: changes may have been missed.
    pub change: Option<BookChange>,
}

impl Event {
    /// Says that changes may have been missed, so that what is shown must be read again.
    #[must_use]
    pub fn refetch() -> Self {
        Self { at: SystemTime::now(), cause: None, change: None }
    }
}

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
struct Member {
    span: SpanContext,
    queue: Queue,
}

/// Events that wait for their execution.
#[derive(Default)]
struct Events {
    waiting: VecDeque<Event>,
    /// Whether there is a task that executes them.
    is_running: bool,
    /// Until when more changes are taken for more of the same burst.
    burst_until: Option<Instant>,
    /// When the next event that says that others were missed may be executed.
    next_refetch: Option<Instant>,
}

/// What the task that executes events does next.
enum Next {
    Execute(Event),
    Wait(Instant),
    End,
}

impl Events {
    /// Takes new events, and returns how many were dropped. More than `limit` are a burst, such as an import
    /// makes: in the place of its events there is one that says so, and for its duration one each
    /// [`BURST`].
    fn add(&mut self, new: Vec<Event>, limit: usize) -> usize {
        let now = Instant::now();
        let all = self.waiting.len() + new.len();
        if all <= limit && self.burst_until.is_none_or(|until| now >= until) {
            self.waiting.extend(new);
            return 0;
        }
        self.burst_until = Some(now + BURST);
        self.waiting.clear();
        self.waiting.push_back(Event::refetch());
        all
    }

    fn next(&mut self) -> Next {
        let is_refetch = self.waiting.front().is_some_and(|event| event.change.is_none());
        let now = Instant::now();
        if is_refetch && let Some(at) = self.next_refetch.filter(|at| *at > now) {
            return Next::Wait(at);
        }
        let Some(event) = self.waiting.pop_front() else {
            self.is_running = false;
            return Next::End;
        };
        if is_refetch {
            self.next_refetch = Some(now + BURST);
        }
        Next::Execute(event)
    }
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
        let member = Arc::new(Member { span: telemetry.span(), queue });
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
            groups.remove(&group.key);
        }
    }
}

impl Group {
    fn new(key: GroupKey, source: Source, caller: Caller) -> Self {
        Self { key, source, caller, members: Mutex::default(), events: Mutex::default() }
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

    fn members(&self) -> MutexGuard<'_, HashMap<u64, Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes those of the changes that it follows; none: some may have been missed.
    fn publish(self: &Arc<Self>, engine: &Arc<Engine>, changes: Option<&Changes>, limit: usize) {
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
        if dropped > 0 {
            self.members().values().for_each(|member| member.queue.count_dropped(dropped));
        }
        if !std::mem::replace(&mut events.is_running, true) {
            let run = execute_events(engine.clone(), self.clone());
            runtime_insight::spawn("subscription events", run);
        }
    }

    /// Spans that the span of an event has links to: what caused it, and some of the subscriptions.
    #[must_use]
    pub fn links(&self, event: &Event) -> (Vec<SpanContext>, usize) {
        let members = self.members();
        let spans = members.values().take(MAX_LINKS).map(|member| member.span.clone());
        (event.cause.iter().cloned().chain(spans).collect(), members.len())
    }

    /// Hands the response to an event to all members; none: it could not be executed.
    fn deliver(&self, at: SystemTime, json: Option<&Bytes>) {
        for member in self.members().values() {
            match json {
                Some(json) => member.queue.push(at, json.clone()),
                None => member.queue.miss(),
            }
        }
    }
}

async fn execute_events(engine: Arc<Engine>, group: Arc<Group>) {
    loop {
        let next = group.events().next();
        match next {
            Next::Execute(event) => {
                let at = event.at;
                let json = engine.execute_event(&group, event).await;
                group.deliver(at, json.as_ref());
            }
            Next::Wait(at) => sleep_until(at.into()).await,
            Next::End => return,
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
            if self.has_missed
                && let Some(json) = self.refetch().await
            {
                self.has_missed = false;
                return json;
            }
            let taken = self.member.queue.take().await;
            self.telemetry.dropped(taken.dropped);
            match taken.response {
                Some((at, json)) => {
                    self.telemetry.delivered(at);
                    return json;
                }
                None => self.has_missed = true,
            }
        }
    }

    /// The response to an event that says that others were missed. None if the service is too busy.
    async fn refetch(&mut self) -> Option<Bytes> {
        let event = Event::refetch();
        let at = event.at;
        let json = self.engine.execute_event(&self.group, event).await;
        if json.is_some() {
            self.telemetry.delivered(at);
        } else {
            // To be tried again.
            self.member.queue.miss();
        }
        json
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::changes::ChangeKind;

    fn events(count: usize) -> Vec<Event> {
        let change =
            BookChange { kind: ChangeKind::Created, id: 1, version: 1, authors: Vec::new() };
        vec![Event { change: Some(change), ..Event::refetch() }; count]
    }

    #[test]
    fn puts_one_event_in_the_place_of_a_burst() {
        let mut queue = Events::default();
        assert_eq!(queue.add(events(3), 4), 0);
        assert!(matches!(queue.next(), Next::Execute(Event { change: Some(_), .. })));
        assert_eq!(queue.add(events(3), 4), 5);
        assert!(matches!(queue.next(), Next::Execute(Event { change: None, .. })));
        assert!(matches!(queue.next(), Next::End));
        // For a while, whatever comes is more of the same, and told of later.
        assert_eq!(queue.add(events(1), 4), 1);
        assert_eq!(queue.add(events(2), 4), 3);
        assert!(matches!(queue.next(), Next::Wait(_)));
        queue.next_refetch = Some(Instant::now());
        assert!(matches!(queue.next(), Next::Execute(Event { change: None, .. })));
        queue.burst_until = Some(Instant::now());
        assert_eq!(queue.add(events(1), 4), 0);
    }
}
