//! Server-sent events: each sample of the history, and each slow poll as it happens.
//!
//! A client that reads slowly loses events, and takes no memory: an event is taken from the channels when
//! the socket has room for it, and the channels drop the oldest of those that are not taken.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use tokio::sync::{
    Semaphore, SemaphorePermit,
    broadcast::{Receiver, error::RecvError},
};

use crate::{
    admin::{Admin, rejection::Rejection},
    slow_polls::{self, ReportedPoll},
};

/// Clients that read events at the same time.
pub(super) const READERS: usize = 16;

/// `GET /debug/api/events`
pub async fn get(State(admin): State<Arc<Admin>>) -> Result<Response, Rejection> {
    static PERMITS: Semaphore = Semaphore::const_new(READERS);
    let Ok(permit) = PERMITS.try_acquire() else {
        let why = format!("{READERS} clients read events already");
        return Err(Rejection(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let subscription = Subscription {
        samples: admin.history.subscribe(),
        slow_polls: slow_polls::subscribe(),
        _permit: permit,
    };
    let events = stream::unfold(subscription, async |mut subscription: Subscription| {
        let event = subscription.next().await?;
        Some((Ok::<_, Infallible>(event), subscription))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new()).into_response())
}

/// What a client reads.
struct Subscription {
    samples: Receiver<Arc<str>>,
    slow_polls: Receiver<Arc<ReportedPoll>>,
    _permit: SemaphorePermit<'static>,
}

impl Subscription {
    /// Returns the next event, or `None` when there will be no more.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let event = tokio::select! {
                sample = self.samples.recv() => {
                    sample.map(|sample| Event::default().event("sample").data(&*sample))
                }
                poll = self.slow_polls.recv() => poll.map(|poll| slow_poll(&poll)),
            };
            match event {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn slow_poll(poll: &ReportedPoll) -> Event {
    // Its keys are texts and its numbers finite.
    let event = Event::default().event("slow_poll").json_data(poll);
    event.unwrap_or_else(|_| Event::default().event("slow_poll"))
}
