//! The queue between what the service records and its export: bounded, batching, and honest about
//! what it loses. One for spans and one for log records.
//!
//! Our own and not the SDK's: that one counts the spans it drops for its own log only, and polls
//! its exporter where neither tokio nor an asynchronous HTTP client can work.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use metrics::{Counter, Label};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_semantic_conventions::attribute::ERROR_TYPE;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};

use super::{settings::QueueSettings, warnings::Warnings};
use crate::telemetry::names::Metric;

/// Sends batches to where they are kept.
pub trait Sink: Send + Sync + 'static {
    /// What is sent.
    type Item: Send + 'static;

    /// Sends a batch, with what retries the protocol allows.
    fn send(&self, batch: Vec<Self::Item>) -> impl Future<Output = OTelSdkResult> + Send;
}

/// What became of the items of a signal, since the start.
#[derive(Debug, Default)]
pub struct Outcome {
    made: AtomicU64,
    exported: AtomicU64,
}

impl Outcome {
    /// Items that the receiver took.
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Items that no receiver has taken. At the end, those are lost.
    pub fn outstanding(&self) -> u64 {
        self.made.load(Ordering::Relaxed).saturating_sub(self.exported())
    }

    /// Counts items that were made.
    pub fn count_made(&self, items: u64) {
        self.made.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts items that the receiver took.
    pub fn count_exported(&self, items: u64) {
        self.exported.fetch_add(items, Ordering::Relaxed);
    }
}

/// The way in. Clones share the queue.
pub struct Queue<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

struct Shared<T> {
    settings: QueueSettings,
    items: Mutex<VecDeque<T>>,
    /// A batch is full, or someone wants the queue emptied.
    wake: Notify,
    flush: Mutex<Vec<mpsc::Sender<()>>>,
    closed: AtomicBool,
    outcome: Arc<Outcome>,
    warnings: Arc<Warnings>,
    counters: Counters,
}

/// The metrics that the queue keeps.
pub struct Counters {
    processed: Counter,
    queue_full: Counter,
    after_shutdown: Counter,
    exported: Counter,
    failed: Counter,
}

impl Counters {
    /// Of a queue's two metrics. All begin at zero, so that a first loss is a rise.
    pub fn new(processed: &Metric, exported: &Metric) -> Self {
        let with = |metric: &Metric, error| metric.counter(vec![Label::new(ERROR_TYPE, error)]);
        Self {
            processed: processed.counter(Vec::new()),
            queue_full: with(processed, "queue_full"),
            after_shutdown: with(processed, "already_shutdown"),
            exported: exported.counter(Vec::new()),
            failed: with(exported, "export_failed"),
        }
    }
}

impl<T: Send + 'static> Queue<T> {
    /// A queue whose items `sink` sends, and the work of sending them.
    pub fn new(
        settings: QueueSettings,
        counters: Counters,
        warnings: Arc<Warnings>,
        sink: impl Sink<Item = T>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::new(Shared {
            settings,
            items: Mutex::new(VecDeque::new()),
            wake: Notify::new(),
            flush: Mutex::default(),
            closed: AtomicBool::new(false),
            outcome: Arc::default(),
            warnings,
            counters,
        });
        let work = shared.clone().work(sink);
        (Self { shared }, work)
    }

    /// What became of the items so far.
    pub fn outcome(&self) -> Arc<Outcome> {
        self.shared.outcome.clone()
    }

    /// Queues an item, or drops it if the queue is full. Never waits.
    pub fn push(&self, item: T) {
        let shared = &self.shared;
        shared.outcome.count_made(1);
        if shared.closed.load(Ordering::Acquire) {
            shared.counters.after_shutdown.increment(1);
            return;
        }
        let queued = {
            let mut items = shared.items();
            let has_room = items.len() < shared.settings.capacity;
            if has_room {
                items.push_back(item);
            }
            has_room.then_some(items.len())
        };
        match queued {
            Some(length) if length % shared.settings.batch == 0 => shared.wake.notify_one(),
            Some(_) => {}
            None => {
                shared.counters.queue_full.increment(1);
                shared.warnings.dropped();
            }
        }
    }

    /// Exports all that is queued.
    ///
    /// # Errors
    /// If that was not done in time.
    pub fn flush(&self, limit: Duration) -> OTelSdkResult {
        let (done, is_done) = mpsc::channel();
        self.shared.flush.lock().unwrap_or_else(PoisonError::into_inner).push(done);
        self.shared.wake.notify_one();
        is_done.recv_timeout(limit).map_err(|_| OTelSdkError::Timeout(limit))
    }

    /// Takes no more items, and exports those that are queued.
    ///
    /// # Errors
    /// If not all could be exported in time.
    pub fn close(&self, limit: Duration) -> OTelSdkResult {
        self.shared.closed.store(true, Ordering::Release);
        self.flush(limit)
    }
}

impl<T: Send + 'static> Shared<T> {
    fn items(&self) -> std::sync::MutexGuard<'_, VecDeque<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(self: Arc<Self>, sink: impl Sink<Item = T>) {
        loop {
            self.until_due().await;
            let waiting =
                std::mem::take(&mut *self.flush.lock().unwrap_or_else(PoisonError::into_inner));
            // What comes in meanwhile is of the next round, so that a flush ends.
            let mut left = self.items().len();
            while left > 0 {
                let batch = self.take(left);
                left -= batch.len();
                self.send(&sink, batch).await;
            }
            for done in waiting {
                // Whoever waited may have given up.
                let _ = done.send(());
            }
        }
    }

    /// Waits until a batch is full or the oldest item has waited for long enough.
    async fn until_due(&self) {
        let due = Instant::now() + self.settings.delay;
        tokio::select! {
            () = self.wake.notified() => {}
            () = sleep_until(due) => {}
        }
    }

    fn take(&self, at_most: usize) -> Vec<T> {
        let mut items = self.items();
        let count = items.len().min(self.settings.batch).min(at_most);
        items.drain(..count).collect()
    }

    async fn send(&self, sink: &impl Sink<Item = T>, batch: Vec<T>) {
        let count = batch.len() as u64;
        self.counters.processed.increment(count);
        let result = match timeout(self.settings.timeout, sink.send(batch)).await {
            Ok(result) => result,
            Err(_) => Err(OTelSdkError::Timeout(self.settings.timeout)),
        };
        match result {
            Ok(()) => {
                self.counters.exported.increment(count);
                self.outcome.count_exported(count);
                self.warnings.worked();
            }
            Err(error) => {
                self.counters.failed.increment(count);
                self.warnings.failed(&error);
            }
        }
    }
}
