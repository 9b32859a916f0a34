//! The slow polls that were reported last, for the admin API.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use opentelemetry::trace::SpanContext;
use runtime_insight::{Task, watchdog::SlowPoll};
use serde::{Serialize, Serializer};
use tokio::sync::broadcast;

use crate::text::serialize_time;

/// Slow polls that are kept.
const KEPT: usize = 100;
/// Slow polls that a subscriber may be behind before it loses the oldest.
const BACKLOG: usize = 64;

/// The slow polls of this process.
static RECENT: LazyLock<RecentSlowPolls> = LazyLock::new(RecentSlowPolls::default);

/// A slow poll that was reported.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportedPoll {
    /// When it began.
    #[serde(serialize_with = "serialize_time")]
    pub time: SystemTime,
    /// How long it took or, if it has not ended, had taken when it was reported.
    #[serde(serialize_with = "serialize_seconds")]
    pub duration: Duration,
    /// Whether it had ended when it was reported.
    pub ended: bool,
    /// The worker, by its number in the runtime.
    pub worker: usize,
    /// The name of the task, if `runtime-insight` spawned it.
    pub task: Option<&'static str>,
    /// Where a task of a library was spawned.
    pub spawned_at: Option<String>,
    /// The root field of the operation that the task works for.
    pub root_field: Option<&'static str>,
    /// The field that was resolved.
    pub field: Option<&'static str>,
    /// The trace of the operation.
    pub trace_id: Option<String>,
}

impl ReportedPoll {
    fn new(slow: &SlowPoll<'_>) -> Self {
        let duration = slow.duration();
        let operation = slow.operation();
        let span = operation.map(|operation| &operation.span).filter(|span| span.is_valid());
        let now = SystemTime::now();
        Self {
            time: now.checked_sub(duration).unwrap_or(now),
            duration,
            ended: slow.ended(),
            worker: slow.worker(),
            task: slow.task().map(Task::name),
            spawned_at: slow.spawned_at().map(ToString::to_string),
            root_field: operation.map(|operation| operation.group),
            field: slow.section().map(|section| section.name),
            trace_id: span.map(SpanContext::trace_id).map(|id| id.to_string()),
        }
    }
}

fn serialize_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// The latest slow polls, and who wants to know of each.
#[derive(Debug)]
struct RecentSlowPolls {
    latest: Mutex<VecDeque<Arc<ReportedPoll>>>,
    subscribers: broadcast::Sender<Arc<ReportedPoll>>,
}

impl Default for RecentSlowPolls {
    fn default() -> Self {
        Self {
            latest: Mutex::new(VecDeque::with_capacity(KEPT)),
            subscribers: broadcast::Sender::new(BACKLOG),
        }
    }
}

impl RecentSlowPolls {
    fn push(&self, poll: ReportedPoll) {
        let poll = Arc::new(poll);
        let mut latest = self.latest();
        if latest.len() == KEPT {
            latest.pop_front();
        }
        latest.push_back(poll.clone());
        drop(latest);
        // Fails without subscribers.
        let _ = self.subscribers.send(poll);
    }

    fn newest_first(&self) -> Vec<Arc<ReportedPoll>> {
        self.latest().iter().rev().cloned().collect()
    }

    fn latest(&self) -> MutexGuard<'_, VecDeque<Arc<ReportedPoll>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a slow poll and sends it to the subscribers. Called on a worker or on the watchdog's thread: the
/// locks are held for as long as a pointer takes to be copied.
pub(crate) fn record(slow: &SlowPoll<'_>) {
    RECENT.push(ReportedPoll::new(slow));
}

/// Returns the last slow polls, newest first, 100 at most.
pub(crate) fn recent() -> Vec<Arc<ReportedPoll>> {
    RECENT.newest_first()
}

/// Returns what receives each slow poll from now on. A receiver that is 64 behind loses the oldest.
pub(crate) fn subscribe() -> broadcast::Receiver<Arc<ReportedPoll>> {
    RECENT.subscribers.subscribe()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn poll(worker: usize) -> ReportedPoll {
        ReportedPoll {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_796_052_001_250),
            duration: Duration::from_millis(250),
            ended: true,
            worker,
            task: Some("query Query.books"),
            spawned_at: None,
            root_field: Some("Query.books"),
            field: None,
            trace_id: None,
        }
    }

    #[test]
    fn keeps_the_latest_newest_first() {
        let polls = RecentSlowPolls::default();
        for worker in 0..KEPT + 3 {
            polls.push(poll(worker));
        }
        let workers: Vec<_> = polls.newest_first().iter().map(|poll| poll.worker).collect();
        assert_eq!(workers, (3..KEPT + 3).rev().collect::<Vec<_>>());
    }

    #[test]
    fn drops_the_oldest_for_a_slow_subscriber() {
        use broadcast::error::TryRecvError;

        let polls = RecentSlowPolls::default();
        let mut subscriber = polls.subscribers.subscribe();
        for worker in 0..BACKLOG + 2 {
            polls.push(poll(worker));
        }
        assert_eq!(subscriber.try_recv().unwrap_err(), TryRecvError::Lagged(2));
        assert_eq!(subscriber.try_recv().unwrap().worker, 2);
    }

    #[test]
    fn serializes_as_documented() {
        assert_eq!(
            serde_json::to_value(poll(1)).unwrap(),
            json!({
                "time": "2026-11-30T15:20:01.250000Z", "duration": 0.25, "ended": true, "worker": 1,
                "task": "query Query.books", "spawned_at": null, "root_field": "Query.books",
                "field": null, "trace_id": null,
            })
        );
    }
}
