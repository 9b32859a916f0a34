//! Connections: how many are open, and why those ended that did not end as they should.

use std::sync::LazyLock;

use metrics::{Counter, Gauge, Label};
use opentelemetry_semantic_conventions::attribute as attr;

use crate::{
    catalog::{HTTP_CONNECTIONS, HTTP_CONNECTIONS_CLOSED},
    handle_cache::HandleCache,
};

/// Why connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Its peer had as many as one may have.
    PeerLimit,
    /// It waited for a request when all places were taken and others wanted one.
    Evicted,
    /// The head of a request did not come in time, or no first request did.
    HeadTimeout,
    /// No further request came in time.
    IdleTimeout,
    /// Its client did not read a response in time.
    AnswerTimeout,
    /// Its client was the slowest to read its response when too many were unread.
    Backlog,
    /// Its client broke it off, or spoke no HTTP.
    Broken,
}

impl Ending {
    const ALL: [Self; 7] = [
        Self::PeerLimit,
        Self::Evicted,
        Self::HeadTimeout,
        Self::IdleTimeout,
        Self::AnswerTimeout,
        Self::Backlog,
        Self::Broken,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::PeerLimit => "peer_limit",
            Self::Evicted => "evicted",
            Self::HeadTimeout => "head_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::AnswerTimeout => "answer_timeout",
            Self::Backlog => "backlog",
            Self::Broken => "broken",
        }
    }
}

/// Counts a connection that was closed; `ending` says why, if not as it should be.
pub fn closed(ending: Option<Ending>) {
    series(ending).increment(1);
}

/// Starts the counters at zero, so that a first one is a rise.
pub fn start_counters() {
    series(None).increment(0);
    for ending in Ending::ALL {
        series(Some(ending)).increment(0);
    }
}

fn series(ending: Option<Ending>) -> Counter {
    static CLOSED: LazyLock<HandleCache<Option<Ending>, Counter>> = LazyLock::new(|| {
        HandleCache::new(|ending: &Option<Ending>| {
            let label = ending.map(|ending| Label::new(attr::ERROR_TYPE, ending.as_str()));
            HTTP_CONNECTIONS_CLOSED.counter(label.into_iter().collect())
        })
    });
    CLOSED.get(ending)
}

/// A connection among the open ones.
#[derive(Debug)]
pub struct Open(());

impl Open {
    /// Counts it until it is dropped.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it counts")]
    pub fn new() -> Self {
        gauge().increment(1);
        Self(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge().decrement(1);
    }
}

fn gauge() -> &'static Gauge {
    static OPEN: LazyLock<Gauge> = LazyLock::new(|| HTTP_CONNECTIONS.gauge(Vec::new()));
    &OPEN
}
