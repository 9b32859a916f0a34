//! A session on a socket: its initialization, operations and responses, and its end.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
};

use async_graphql::Request;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, abortable, pending},
    stream::FuturesUnordered,
};
use graphql_telemetry::graphql::{EndReason, Source};
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until},
};
use tokio_tungstenite::tungstenite::{self, Message};

use super::{
    Caller,
    close::{End, Reason},
    following::{Followed, Following},
    message::{ClientMessage, Payload, ServerMessage, error_message, next_message},
    operation::{ActiveOperation, Done, Execution, Outcome, WaitingOperation, WaitingOperations},
    transport::Transport,
};
use crate::{
    config::limits::RequestLimits,
    error::{Code, Error},
    graphql::execution::{engine::RequestInfo, errors::request_error},
    http::{bearer, graphql::from_parameters, server::peer_key},
    security,
};

/// A client and what it has asked.
pub struct Session {
    caller: Caller,
    /// Who the client is, when that is known.
    principal: security::Caller,
    token: Option<String>,
    /// When its token was last looked at.
    checked: Instant,
    /// When its token is looked at again, if it has one.
    check_at: Option<Instant>,
    transport: Transport,
    is_draining: bool,
    is_acknowledged: bool,
    /// The operations whose responses the client awaits, by the client's ids.
    active: HashMap<String, ActiveOperation>,
    running: FuturesUnordered<BoxFuture<'static, Option<Done>>>,
    /// What begins when one of those ends. Until then it has no place among the service's operations.
    waiting: WaitingOperations,
    /// The subscriptions, each until its next response.
    subscriptions: FuturesUnordered<BoxFuture<'static, Followed>>,
    /// Places for them.
    places: Arc<Semaphore>,
    /// How many operations there were.
    operations: u64,
    /// Since when nothing is asked.
    last_activity: Instant,
    pings: Interval,
    /// Whether the client was heard of since the last ping.
    pong_received: bool,
}

/// What a session waits for.
enum Event {
    Draining,
    Done(Option<Done>),
    Followed(Followed),
    Quiet,
    TokenCheck,
    Received(Option<tungstenite::Result<Message>>),
    Ping,
}

impl Session {
    /// A session with `caller`.
    pub fn new(caller: Caller, transport: Transport) -> Self {
        let now = Instant::now();
        let period = caller.public.limits.socket_ping_interval;
        let mut pings = interval_at(now + period, period);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let places = caller.public.subscription_limits.max_socket_subscriptions;
        Self {
            caller,
            principal: security::Caller::default(),
            token: None,
            checked: now,
            check_at: None,
            transport,
            is_draining: false,
            is_acknowledged: false,
            active: HashMap::new(),
            running: FuturesUnordered::new(),
            waiting: WaitingOperations::default(),
            subscriptions: FuturesUnordered::new(),
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            operations: 0,
            last_activity: now,
            pings,
            pong_received: true,
        }
    }

    fn limits(&self) -> &RequestLimits {
        &self.caller.public.limits
    }

    /// Serves the client until one of both wants no more. Queries that are running then are
    /// aborted, and mutations run to their end.
    pub async fn run(mut self) -> (Transport, End) {
        let end = loop {
            let event = self.event().await;
            if let Err(end) = self.handle(event).await {
                break end;
            }
            if self.is_draining && self.running.is_empty() {
                break Reason::GoingAway.into();
            }
        };
        self.end_subscriptions(match end.reason {
            Reason::GoingAway => EndReason::Drain,
            Reason::Forbidden => EndReason::Unauthorized,
            Reason::Slow => EndReason::Slow,
            Reason::Client => EndReason::Client,
            _ => EndReason::Disconnected,
        })
        .await;
        (self.transport, end)
    }

    /// Ends all subscriptions, and returns the ids that the client gave them.
    async fn end_subscriptions(&mut self, reason: EndReason) -> Vec<String> {
        let ended = self
            .active
            .extract_if(|_, active| active.end.take().is_some_and(|end| end.send(reason).is_ok()));
        let ids = ended.map(|(id, _)| id).collect();
        while self.subscriptions.next().await.is_some() {}
        ids
    }

    async fn event(&mut self) -> Event {
        let reads = !self.is_draining;
        let quiet_until = self.last_activity
            + if self.is_acknowledged {
                self.limits().socket_idle_timeout
            } else {
                self.limits().request_timeout
            };
        tokio::select! {
            // In this order: a client that sends without end puts off no deadline, and one that
            // was not read for a while is not taken for dead before it is.
            biased;
            () = self.caller.connection.draining.cancelled(), if !self.is_draining => Event::Draining,
            Some(done) = self.running.next() => Event::Done(done),
            () = at(self.check_at) => Event::TokenCheck,
            () = sleep_until(quiet_until), if self.running.is_empty() && self.subscriptions.is_empty() => {
                Event::Quiet
            }
            received = self.transport.receive(), if reads => Event::Received(received),
            // Behind that: however many events there are, the client is heard.
            Some(followed) = self.subscriptions.next() => Event::Followed(followed),
            _ = self.pings.tick(), if reads => Event::Ping,
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Draining => self.drain().await?,
            Event::Done(done) => self.done(done).await?,
            Event::Followed(followed) => self.followed(followed).await?,
            Event::TokenCheck => self.check_token().await?,
            Event::Quiet if self.is_acknowledged => return Err(Reason::Idle.into()),
            Event::Quiet => return Err(Reason::InitTimeout.into()),
            Event::Received(received) => {
                self.pong_received = true;
                match received.transpose()? {
                    Some(Message::Text(text)) => {
                        self.message(ClientMessage::read(&text)?, text.len()).await?;
                    }
                    Some(Message::Binary(_)) => return Err(Reason::BadMessage.into()),
                    Some(Message::Close(_)) => return Err(Reason::Client.into()),
                    // The library answers pings.
                    Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                    None => return Err(Reason::Gone.into()),
                }
                // However much the client sends, it is sent its events, and what it has ended gives back
                // its place.
                if let Some(Some(followed)) = self.subscriptions.next().now_or_never() {
                    self.followed(followed).await?;
                }
            }
            Event::Ping if !self.pong_received => return Err(Reason::Dead.into()),
            Event::Ping => {
                self.pong_received = false;
                self.transport.ping().await?;
            }
        }
        Ok(())
    }

    async fn message(&mut self, message: ClientMessage, size: usize) -> Result<(), End> {
        match message {
            ClientMessage::ConnectionInit { .. } if self.is_acknowledged => {
                Err(Reason::SecondInit.into())
            }
            ClientMessage::ConnectionInit { payload } => {
                self.authenticate(&payload.unwrap_or_default()).await?;
                self.is_acknowledged = true;
                self.last_activity = Instant::now();
                self.transport.send(&[ServerMessage::ConnectionAck.to_json()]).await
            }
            ClientMessage::Ping { payload } => {
                self.transport.send(&[ServerMessage::Pong { payload }.to_json()]).await
            }
            ClientMessage::Pong { .. } => Ok(()),
            ClientMessage::Subscribe { .. } if !self.is_acknowledged => {
                Err(Reason::Unauthorized.into())
            }
            ClientMessage::Subscribe { id, payload } => self.subscribe(id, payload, size).await,
            ClientMessage::Complete { id } => {
                self.waiting.remove(&id);
                if let Some(active) = self.active.remove(&id) {
                    active.complete();
                }
                Ok(())
            }
        }
    }

    /// Learns who the client is by the token of its `connection_init` or, where that has none, of
    /// the request for the socket.
    async fn authenticate(&mut self, payload: &Payload) -> Result<(), End> {
        let token = token_of(payload).or_else(|| bearer::token(&self.caller.headers));
        self.token = token.map(str::to_owned);
        self.check_token().await
    }

    /// Ends the session if its token is not taken, or not any more: it may have expired, or have been
    /// withdrawn.
    async fn check_token(&mut self) -> Result<(), End> {
        let access = &self.caller.public.access;
        let principal =
            access.caller(self.token.as_deref(), peer_key(self.caller.connection.client)).await;
        self.principal =
            principal.map_err(|refused| End::because(Reason::Forbidden, refused.to_string()))?;
        let period = self.limits().socket_ping_interval;
        let until = self.principal.remaining().map_or(period, |remaining| remaining.min(period));
        self.checked = Instant::now();
        self.check_at = (!access.is_open()).then(|| self.checked + until);
        Ok(())
    }

    async fn subscribe(&mut self, id: String, payload: Payload, size: usize) -> Result<(), End> {
        if self.active.contains_key(&id) || self.waiting.has(&id) {
            let text = format!("Subscriber for {id} already exists");
            return Err(End::because(Reason::IdTaken, text));
        }
        let extensions = payload.get("extensions");
        let source = Source::Socket(self.caller.context.of_operation(extensions));
        let (request, info) = from_parameters(payload)
            .map_err(|it| End::because(Reason::BadMessage, it.error.public_message()))?;
        self.last_activity = Instant::now();
        let info = RequestInfo { source, caller: self.principal, streams: true, ..info };
        let request = (request, info);
        if self.running.len() < self.limits().max_socket_operations {
            self.start(id, request);
        } else if self.waiting.size() + size <= self.limits().max_body {
            self.waiting.push(WaitingOperation { id, request, size });
        } else {
            let error = error_message(&id, &request_error(Error::Overloaded));
            return self.transport.send(&[error]).await;
        }
        Ok(())
    }

    /// Runs an operation as soon as the engine has a permit; meanwhile the socket is read.
    fn start(&mut self, id: String, request: (Request, RequestInfo)) {
        self.operations += 1;
        let number = self.operations;
        let is_mutation = Arc::<AtomicBool>::default();
        let work = Execution {
            state: self.caller.public.clone(),
            id: id.clone(),
            places: self.places.clone(),
            is_mutation: is_mutation.clone(),
        };
        let (work, abort) = abortable(work.run(number, request));
        self.running.push(work.map(Result::ok).boxed());
        self.active.insert(id, ActiveOperation { number, abort, is_mutation, end: None });
    }

    async fn done(&mut self, done: Option<Done>) -> Result<(), End> {
        self.last_activity = Instant::now();
        if let Some(WaitingOperation { id, request, .. }) = self.waiting.pop() {
            self.start(id, request);
        }
        // It was aborted, or its client completed it, and may have given its id to another.
        let Some(Done { id, number, outcome }) = done else { return Ok(()) };
        let Some(active) = self.active.get_mut(&id).filter(|it| it.number == number) else {
            if let Outcome::Subscribed(subscribed) = outcome {
                subscribed.0.end(EndReason::Client);
            }
            return Ok(());
        };
        match outcome {
            Outcome::Messages(messages) => {
                self.active.remove(&id);
                self.transport.send(&messages).await
            }
            Outcome::Subscribed(subscribed) => {
                let (end, ended) = oneshot::channel();
                active.end = Some(end);
                let following = Following::new(id, *subscribed, ended);
                self.subscriptions.push(Box::new(following).next().boxed());
                if self.is_draining { self.drain().await } else { Ok(()) }
            }
        }
    }

    /// Sends a subscription's response, if the client may still have it.
    async fn followed(&mut self, followed: Followed) -> Result<(), End> {
        self.last_activity = Instant::now();
        let Followed::Next(following, json) = followed else { return Ok(()) };
        let message = next_message(following.id(), &json);
        // Among the others again, with which it ends.
        self.subscriptions.push(following.next().boxed());
        if self.check_at.is_some() && self.checked.elapsed() > security::RECHECK {
            let scopes = self.principal.scopes();
            self.check_token().await?;
            if self.principal.scopes() != scopes {
                return self.withdraw().await;
            }
        }
        self.transport.send(&[message]).await
    }

    /// Ends all subscriptions of a client whose rights are not those any more with which it subscribed.
    async fn withdraw(&mut self) -> Result<(), End> {
        let error = || Error::Client(Code::Forbidden, "The token's scopes have changed.".into());
        let ids = self.end_subscriptions(EndReason::Unauthorized).await;
        let errors: Vec<_> =
            ids.iter().map(|id| error_message(id, &request_error(error()))).collect();
        self.transport.send(&errors).await
    }

    /// Reads no more, and ends what lasts.
    async fn drain(&mut self) -> Result<(), End> {
        self.is_draining = true;
        let ids = self.end_subscriptions(EndReason::Drain).await;
        let complete = |id: &String| ServerMessage::Complete { id }.to_json();
        self.transport.send(&ids.iter().map(complete).collect::<Vec<_>>()).await
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// The token in a `connection_init`, as the clients of the protocol have it: what would be the header.
fn token_of(payload: &Payload) -> Option<&str> {
    let (_, value) = payload.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
    bearer::of(value.as_str()?)
}
