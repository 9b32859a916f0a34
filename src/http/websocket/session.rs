//! A session on a socket: its initialization, operations and responses, and its end.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_graphql::{Request, Response};
use futures_util::{
    FutureExt, StreamExt,
    future::{AbortHandle, BoxFuture, abortable, pending},
    stream::FuturesUnordered,
};
use graphql_telemetry::graphql::Source;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};
use tokio_tungstenite::tungstenite::{self, Bytes, Message};

use crate::{
    config::limits::RequestLimits,
    error::Error,
    graphql::execution::{
        engine::RequestInfo,
        errors::{request_error, was_executed},
    },
    http::{
        AppState, bearer,
        graphql::{Rendered, from_parameters, write},
        server::peer_key,
        websocket::{
            Caller,
            close::{End, Reason},
            message::{ClientMessage, Payload, ServerMessage},
            transport::Transport,
        },
    },
    security,
};

/// A client and what it has asked.
pub struct Session {
    caller: Caller,
    /// Who the client is, when that is known.
    principal: security::Caller,
    token: Option<String>,
    /// When its token is looked at again, if it has one.
    check_at: Option<Instant>,
    transport: Transport,
    is_draining: bool,
    is_acknowledged: bool,
    /// The operations whose responses the client awaits, by the client's ids.
    active: HashMap<String, ActiveOperation>,
    running: FuturesUnordered<BoxFuture<'static, Option<Done>>>,
    /// What begins when one of those ends. Until then nothing is read, and it has no place among the
    /// service's operations.
    waiting: Option<(String, (Request, RequestInfo))>,
    /// How many operations there were.
    operations: u64,
    /// Since when nothing is asked.
    last_activity: Instant,
    pings: Interval,
    /// Whether the client was heard of since the last ping.
    pong_received: bool,
}

/// An operation whose response the client awaits.
struct ActiveOperation {
    number: u64,
    abort: AbortHandle,
    /// A mutation that has begun is not aborted: it would continue, and count as ended.
    is_mutation: Arc<AtomicBool>,
}

/// An operation that ran to its end.
struct Done {
    id: String,
    number: u64,
    messages: Vec<Bytes>,
}

/// What a session waits for.
enum Event {
    Draining,
    Done(Option<Done>),
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
        Self {
            caller,
            principal: security::Caller::default(),
            token: None,
            check_at: None,
            transport,
            is_draining: false,
            is_acknowledged: false,
            active: HashMap::new(),
            running: FuturesUnordered::new(),
            waiting: None,
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
        loop {
            let event = self.event().await;
            if let Err(end) = self.handle(event).await {
                return (self.transport, end);
            }
            if self.is_draining && self.running.is_empty() {
                return (self.transport, Reason::GoingAway.into());
            }
        }
    }

    async fn event(&mut self) -> Event {
        let reads = self.waiting.is_none() && !self.is_draining;
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
            () = sleep_until(quiet_until), if self.running.is_empty() => Event::Quiet,
            received = self.transport.receive(), if reads => Event::Received(received),
            _ = self.pings.tick(), if reads => Event::Ping,
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Draining => self.is_draining = true,
            Event::Done(done) => self.done(done).await?,
            Event::TokenCheck => self.check_token().await?,
            Event::Quiet if self.is_acknowledged => return Err(Reason::Idle.into()),
            Event::Quiet => return Err(Reason::InitTimeout.into()),
            Event::Received(received) => {
                self.pong_received = true;
                match received.transpose()? {
                    Some(Message::Text(text)) => {
                        self.message(ClientMessage::read(&text)?).await?;
                    }
                    Some(Message::Binary(_)) => return Err(Reason::BadMessage.into()),
                    Some(Message::Close(_)) => return Err(Reason::Client.into()),
                    // The library answers pings.
                    Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                    None => return Err(Reason::Gone.into()),
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

    async fn message(&mut self, message: ClientMessage) -> Result<(), End> {
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
            ClientMessage::Subscribe { id, payload } => self.subscribe(id, payload),
            ClientMessage::Complete { id } => {
                let active = self.active.remove(&id);
                if let Some(active) = active.filter(|it| !it.is_mutation.load(Ordering::Relaxed)) {
                    active.abort.abort();
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
        self.check_at = (!access.is_open()).then(|| Instant::now() + until);
        Ok(())
    }

    fn subscribe(&mut self, id: String, payload: Payload) -> Result<(), End> {
        if self.active.contains_key(&id) {
            let text = format!("Subscriber for {id} already exists");
            return Err(End::because(Reason::IdTaken, text));
        }
        let extensions = payload.get("extensions");
        let source = Source::Socket(self.caller.context.of_operation(extensions));
        let (request, info) = from_parameters(payload)
            .map_err(|it| End::because(Reason::BadMessage, it.error.public_message()))?;
        self.last_activity = Instant::now();
        let info = RequestInfo { source, caller: self.principal, ..info };
        if self.running.len() < self.limits().max_socket_operations {
            self.start(id, (request, info));
        } else {
            self.waiting = Some((id, (request, info)));
        }
        Ok(())
    }

    /// Runs an operation as soon as the engine has a permit; meanwhile the socket is read.
    fn start(&mut self, id: String, (request, info): (Request, RequestInfo)) {
        self.operations += 1;
        let number = self.operations;
        let is_mutation = Arc::<AtomicBool>::default();
        let (state, name, begun) = (self.caller.public.clone(), id.clone(), is_mutation.clone());
        let (work, abort) = abortable(async move {
            let messages = match state.engine.prepare(request, info).await {
                Ok(operation) => {
                    begun.store(operation.is_mutation(), Ordering::Relaxed);
                    let (id, responder) = (name.clone(), state.clone());
                    let respond = async move |response| messages(&responder, &id, response).await;
                    state.engine.run(operation, respond).await.unwrap_or_else(|_| {
                        let error = Error::Internal("the operation was aborted".into());
                        vec![error_message(&name, &request_error(error))]
                    })
                }
                Err(response) => messages(&state, &name, *response).await,
            };
            Done { id: name, number, messages }
        });
        self.running.push(work.map(Result::ok).boxed());
        self.active.insert(id, ActiveOperation { number, abort, is_mutation });
    }

    async fn done(&mut self, done: Option<Done>) -> Result<(), End> {
        self.last_activity = Instant::now();
        if let Some((id, request)) = self.waiting.take() {
            self.start(id, request);
        }
        // It was aborted, or its client completed it, and may have given its id to another.
        let Some(Done { id, number, messages }) = done else { return Ok(()) };
        if self.active.get(&id).is_none_or(|active| active.number != number) {
            return Ok(());
        }
        self.active.remove(&id);
        self.transport.send(&messages).await
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

fn error_message(id: &str, response: &Response) -> Bytes {
    ServerMessage::Error { id, payload: &response.errors }.to_json()
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
