//! The responses that wait until a subscription's transport takes them.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use graphql_telemetry::graphql::Queued;
use tokio::sync::Notify;
use tokio_util::bytes::Bytes;

/// A bounded queue of responses.
#[derive(Debug)]
pub struct Queue {
    limit: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    responses: VecDeque<Response>,
    /// Whether the subscription is to be told that it missed responses.
    has_missed: bool,
    /// Responses that were dropped, and not yet counted.
    dropped: u64,
}

#[derive(Debug)]
struct Response {
    at: SystemTime,
    json: Bytes,
    _queued: Queued,
}

/// What a transport is to send.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// A response, and when its event happened. None: the subscription is to be told that it missed some.
    pub response: Option<(SystemTime, Bytes)>,
    /// Responses that were dropped since the last time.
    pub dropped: u64,
}

impl Queue {
    /// A queue of as many as `limit`.
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a response. Where there is no room, all are dropped: who reads again what it shows needs
    /// none of them.
    pub fn push(&self, at: SystemTime, json: Bytes) {
        let mut state = self.state();
        if state.has_missed {
            state.dropped += 1;
        } else if state.responses.len() < self.limit {
            state.responses.push_back(Response { at, json, _queued: Queued::new() });
        } else {
            state.dropped += state.responses.len() as u64 + 1;
            state.responses.clear();
            state.has_missed = true;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A response could not be made.
    pub fn miss(&self) {
        self.state().has_missed = true;
        self.changed.notify_one();
    }

    /// Events were dropped before they were executed.
    pub fn count_dropped(&self, events: usize) {
        self.state().dropped += events as u64;
    }

    /// Waits for something to send. Cancel-safe.
    pub async fn take(&self) -> Taken {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            self.changed.notified().await;
        }
    }

    fn try_take(&self) -> Option<Taken> {
        let mut state = self.state();
        let response = state.responses.pop_front().map(|next| (next.at, next.json));
        if response.is_none() && !std::mem::take(&mut state.has_missed) {
            return None;
        }
        Some(Taken { response, dropped: std::mem::take(&mut state.dropped) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(number: usize) -> (SystemTime, Bytes) {
        (SystemTime::UNIX_EPOCH, number.to_string().into())
    }

    #[test]
    fn tells_once_of_what_was_dropped() {
        let queue = Queue::new(2);
        let push = |number| {
            let (at, json) = response(number);
            queue.push(at, json);
        };
        (0..2).for_each(push);
        let first = queue.try_take().unwrap();
        assert_eq!(first, Taken { response: Some(response(0)), dropped: 0 });
        (2..7).for_each(push);
        assert_eq!(queue.try_take().unwrap(), Taken { response: None, dropped: 6 });
        assert_eq!(queue.try_take(), None);
        push(7);
        let next = queue.try_take().unwrap();
        assert_eq!(next, Taken { response: Some(response(7)), dropped: 0 });
    }

    #[tokio::test]
    async fn wakes_who_waits() {
        let queue = Queue::new(1);
        let (taken, ()) = tokio::join!(queue.take(), async {
            tokio::task::yield_now().await;
            queue.miss();
        });
        assert_eq!(taken, Taken { response: None, dropped: 0 });
    }
}
