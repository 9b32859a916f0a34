//! What a connection is doing: waiting for the head of a request, or answering one.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// What a connection is doing, as its task, its stream and the accept loop see it.
#[derive(Debug)]
pub struct ConnectionState {
    doing: Mutex<State>,
    evict: Notify,
}

#[derive(Debug)]
enum State {
    Waiting(Waiting),
    /// From the head of a request to the last byte of its response, which the drain waits for.
    Answering {
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
        Self { doing: Mutex::new(State::Waiting(waiting)), evict: Notify::new() }
    }
}

impl ConnectionState {
    /// Something was read: the begin of a head, unless a request is being answered.
    pub fn received(&self) {
        if let State::Waiting(Waiting { head_since: head_since @ None, .. }) = &mut *self.doing() {
            *head_since = Some(Instant::now());
        }
    }

    /// The head of a request is there.
    pub fn asked(&self, request: TaskTrackerToken) {
        *self.doing() = State::Answering { is_complete: false, _request: request };
    }

    /// All of the response has been handed over for sending.
    pub fn completed(&self) {
        if let State::Answering { is_complete, .. } = &mut *self.doing() {
            *is_complete = true;
        }
    }

    /// All that was handed over is sent.
    pub fn sent(&self) {
        let mut doing = self.doing();
        if let State::Answering { is_complete: true, .. } = *doing {
            let since = Instant::now();
            *doing = State::Waiting(Waiting { has_asked: true, since, head_since: None });
        }
    }

    /// Unless a request is being answered.
    pub fn waiting(&self) -> Option<Waiting> {
        match *self.doing() {
            State::Waiting(waiting) => Some(waiting),
            State::Answering { .. } => None,
        }
    }

    /// Asks the connection's task to end it, since others want the place.
    pub fn evict(&self) {
        self.evict.notify_one();
    }

    /// Waits until asked to.
    pub async fn evicted(&self) {
        self.evict.notified().await;
    }

    fn doing(&self) -> MutexGuard<'_, State> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
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
        state.asked(requests.token());
        // Such as `100 Continue`.
        state.sent();
        assert!(state.waiting().is_none() && requests.len() == 1);
        state.completed();
        assert!(state.waiting().is_none() && requests.len() == 1);
        state.sent();
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
