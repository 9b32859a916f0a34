//! The state of a connection: waiting for the head of a request, or responding to one.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The state of a connection, shared by its task, its stream and the accept loop.
#[derive(Debug)]
pub struct ConnectionState {
    state: Mutex<State>,
    evicted: Notify,
}

#[derive(Debug)]
enum State {
    Waiting(Waiting),
    /// From the head of a request to the last byte of its response, which the drain waits for.
    Responding {
        /// Whether all of the response is there, so that only the client has to take it.
        is_complete: bool,
        _request: TaskTrackerToken,
    },
}

/// For the head of a request. Ordered by who is to give way first: those who never asked
/// anything before those who did, and then those who have waited longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// Whether there was a request before.
    pub has_asked: bool,
    /// Since when.
    pub since: Instant,
    /// When its first byte came, if it has come.
    pub head_since: Option<Instant>,
}

impl Default for ConnectionState {
    fn default() -> Self {
        let waiting = Waiting { has_asked: false, since: Instant::now(), head_since: None };
        Self { state: Mutex::new(State::Waiting(waiting)), evicted: Notify::new() }
    }
}

impl ConnectionState {
    /// Something was read: the begin of a head, unless a request is being answered.
    pub fn received(&self) {
        if let State::Waiting(Waiting { head_since: head_since @ None, .. }) = &mut *self.state() {
            *head_since = Some(Instant::now());
        }
    }

    /// The head of a request is there.
    pub fn request_received(&self, request: TaskTrackerToken) {
        *self.state() = State::Responding { is_complete: false, _request: request };
    }

    /// All of the response has been handed over for sending.
    pub fn response_completed(&self) {
        if let State::Responding { is_complete, .. } = &mut *self.state() {
            *is_complete = true;
        }
    }

    /// All that was handed over is sent.
    pub fn response_sent(&self) {
        let mut state = self.state();
        if let State::Responding { is_complete: true, .. } = *state {
            let since = Instant::now();
            *state = State::Waiting(Waiting { has_asked: true, since, head_since: None });
        }
    }

    /// Unless a request is being answered.
    pub fn waiting(&self) -> Option<Waiting> {
        match *self.state() {
            State::Waiting(waiting) => Some(waiting),
            State::Responding { .. } => None,
        }
    }

    /// Asks the connection's task to end it.
    pub fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Waits until the connection is evicted.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;

    #[test]
    fn waits_again_when_a_response_is_complete_and_sent() {
        let (state, requests) = (ConnectionState::default(), TaskTracker::new());
        assert!(state.waiting().is_some_and(|waiting| !waiting.has_asked));
        state.request_received(requests.token());
        // Such as `100 Continue`.
        state.response_sent();
        assert!(state.waiting().is_none() && requests.len() == 1);
        state.response_completed();
        assert!(state.waiting().is_none() && requests.len() == 1);
        state.response_sent();
        assert!(state.waiting().is_some_and(|waiting| waiting.has_asked));
        assert!(requests.is_empty());
    }

    #[test]
    fn evicts_connections_without_a_request_first() {
        let earlier = Instant::now();
        let silent = Waiting { has_asked: false, since: Instant::now(), head_since: None };
        let idle = Waiting { has_asked: true, since: earlier, head_since: None };
        assert!(silent < idle);
        assert!(Waiting { since: earlier, ..silent } <= silent);
    }
}
