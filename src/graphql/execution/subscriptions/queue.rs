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
}

#[derive(Debug)]
struct Response {
    at: SystemTime,
    json: Bytes,
    _queued: Queued,
}

/// What a transport is to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// A response, and when its event happened.
    Response(SystemTime, Bytes),
    /// That responses were missed.
    Missed,
}

impl Queue {
    /// A queue of as many as `limit`.
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a response, and returns how many were dropped. Where there is no room, all are: who reads
    /// again what it shows needs none of them.
    pub fn push(&self, at: SystemTime, json: Bytes) -> u64 {
        let mut state = self.state();
        let dropped = if state.has_missed {
            1
        } else if state.responses.len() < self.limit {
            state.responses.push_back(Response { at, json, _queued: Queued::new() });
            0
        } else {
            state.has_missed = true;
            let dropped = state.responses.len() as u64 + 1;
            state.responses.clear();
            dropped
        };
        drop(state);
        self.changed.notify_one();
        dropped
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
        if let Some(Response { at, json, .. }) = state.responses.pop_front() {
            return Some(Taken::Response(at, json));
        }
        std::mem::take(&mut state.has_missed).then_some(Taken::Missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(number: usize) -> (SystemTime, Bytes) {
        (SystemTime::UNIX_EPOCH, number.to_string().into())
    }

    fn taken(number: usize) -> Taken {
        let (at, json) = response(number);
        Taken::Response(at, json)
    }

    #[test]
    fn tells_once_of_what_was_dropped() {
        let queue = Queue::new(2);
        let push = |number| {
            let (at, json) = response(number);
            queue.push(at, json)
        };
        assert_eq!((0..2).map(push).sum::<u64>(), 0);
        assert_eq!(queue.try_take(), Some(taken(0)));
        assert_eq!((2..7).map(push).sum::<u64>(), 6);
        assert_eq!(queue.try_take(), Some(Taken::Missed));
        assert_eq!(queue.try_take(), None);
        assert_eq!(push(7), 0);
        assert_eq!(queue.try_take(), Some(taken(7)));
    }

    #[tokio::test]
    async fn wakes_who_waits() {
        let queue = Queue::new(1);
        let (got, ()) = tokio::join!(queue.take(), async {
            tokio::task::yield_now().await;
            let (at, json) = response(1);
            queue.push(at, json);
        });
        assert_eq!(got, taken(1));
    }
}
