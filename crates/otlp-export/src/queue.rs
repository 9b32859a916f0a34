//! The queue between what a program records and its export: bounded by items and bytes, batching, and
//! counting what it loses.
//!
//! Our own and not the SDK's, which bounds the number of items only, and polls its exporter where
//! neither tokio nor an asynchronous HTTP client can work. Can go when the SDK's takes encoded items.

mod batch;
mod stats;

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures_util::FutureExt;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout},
};

use self::batch::{Pushed, Waiting};
pub use self::{
    batch::Batch,
    stats::{Counters, ExportStats},
};
use crate::{options::QueueOptions, report::Report};

/// The pause after a panic.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// The reason why not all of a batch has arrived.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing has.
    #[error(transparent)]
    Failed(#[from] OTelSdkError),
    /// The receiver took the others.
    #[error("{items} items were rejected: {reason}")]
    Rejected {
        /// How many it did not take.
        items: u64,
        /// Why.
        reason: String,
    },
}

/// Sends batches to where they are kept.
pub trait BatchExporter: Send + Sync + 'static {
    /// What is sent.
    type Batch: Batch;

    /// Sends a batch, with what retries the protocol allows. What it leaves of it is thrown away.
    fn send(&self, batch: &mut Self::Batch) -> impl Future<Output = Result<(), SendError>> + Send;
}

/// The way in. Clones share the queue.
pub struct Queue<B> {
    shared: Arc<Shared<B>>,
}

impl<B> Clone for Queue<B> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<B> fmt::Debug for Queue<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

struct Shared<B> {
    settings: QueueOptions,
    waiting: Mutex<Waiting<B>>,
    /// A batch is full, or someone wants the queue emptied.
    wake: Notify,
    flush: Mutex<Vec<mpsc::Sender<()>>>,
    closed: AtomicBool,
    stats: Arc<ExportStats>,
    report: Arc<dyn Report>,
    counters: Counters,
}

impl<B: Batch> Queue<B> {
    /// A queue whose items `sink` sends, and the work of sending them.
    pub fn new(
        settings: QueueOptions,
        counters: Counters,
        report: Arc<dyn Report>,
        sink: impl BatchExporter<Batch = B>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::new(Shared {
            settings,
            waiting: Mutex::default(),
            wake: Notify::new(),
            flush: Mutex::default(),
            closed: AtomicBool::new(false),
            stats: Arc::default(),
            report,
            counters,
        });
        let work = shared.clone().work(sink);
        (Self { shared }, work)
    }

    /// What became of the items so far.
    #[must_use]
    pub fn stats(&self) -> Arc<ExportStats> {
        self.shared.stats.clone()
    }

    /// Queues an item, or drops it if the queue is full. Never waits.
    pub fn push(&self, item: B::Item<'_>) {
        let shared = &self.shared;
        shared.stats.count_produced(1);
        if shared.closed.load(Ordering::Acquire) {
            shared.stats.count_lost(1);
            shared.counters.after_shutdown.increment(1);
            return;
        }
        let queued = shared.waiting().push(item, &shared.settings);
        match queued {
            Pushed::Queued { fills_batch: true } => shared.wake.notify_one(),
            Pushed::Queued { fills_batch: false } => {}
            Pushed::NoRoom => {
                shared.stats.count_lost(1);
                shared.counters.queue_full.increment(1);
                shared.report.dropped();
            }
            Pushed::TooLarge => {
                shared.stats.count_lost(1);
                shared.counters.too_large.increment(1);
                shared.report.dropped();
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

impl<B: Batch> Shared<B> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<B>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is queued, for good: a panic ends a round and not the signal.
    async fn work(self: Arc<Self>, sink: impl BatchExporter<Batch = B>) {
        loop {
            if AssertUnwindSafe(self.rounds(&sink)).catch_unwind().await.is_err() {
                self.report.restarted();
                sleep(RESTART_DELAY).await;
            }
        }
    }

    async fn rounds(&self, sink: &impl BatchExporter<Batch = B>) {
        loop {
            self.until_due().await;
            let waiting =
                std::mem::take(&mut *self.flush.lock().unwrap_or_else(PoisonError::into_inner));
            // What comes in meanwhile is of the next round, so that a flush ends.
            let mut left = self.waiting().items;
            while left > 0 {
                let Some(mut batch) = self.take() else { break };
                left = left.saturating_sub(batch.items());
                self.send(sink, &mut batch).await;
                batch.clear();
                self.waiting().spare = Some(batch);
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

    fn take(&self) -> Option<B> {
        self.waiting().take()
    }

    async fn send(&self, sink: &impl BatchExporter<Batch = B>, batch: &mut B) {
        let count = batch.items() as u64;
        self.counters.processed.increment(count);
        let sending = AssertUnwindSafe(sink.send(batch)).catch_unwind();
        let result = match timeout(self.settings.timeout, sending).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(OTelSdkError::InternalFailure("the exporter panicked".into()).into()),
            Err(_) => Err(OTelSdkError::Timeout(self.settings.timeout).into()),
        };
        let lost = match &result {
            Ok(()) => 0,
            Err(SendError::Failed(_)) => count,
            Err(SendError::Rejected { items, .. }) => count.min(*items),
        };
        self.counters.exported.increment(count - lost);
        self.stats.count_exported(count - lost);
        self.stats.count_lost(lost);
        match result {
            Ok(()) => self.report.recovered(),
            Err(error) => {
                match &error {
                    SendError::Failed(_) => self.counters.failed.increment(lost),
                    SendError::Rejected { .. } => self.counters.rejected.increment(lost),
                }
                self.report.failed(&error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use metrics::Counter;

    use super::*;
    use crate::{report::LogReport, runtime::ExportRuntime};

    const LIMIT: Duration = Duration::from_secs(5);

    /// Calls a function with each batch.
    struct Call<F>(F);

    impl<F> BatchExporter for Call<F>
    where
        F: Fn(Vec<u32>) -> Result<(), SendError> + Send + Sync + 'static,
    {
        type Batch = Vec<u32>;

        async fn send(&self, batch: &mut Vec<u32>) -> Result<(), SendError> {
            self.0(batch.clone())
        }
    }

    #[derive(Default)]
    struct Counted {
        counts: [Arc<AtomicU64>; 7],
    }

    fn settings() -> QueueOptions {
        QueueOptions {
            capacity: 100,
            bytes: 1000,
            batch: 100,
            batch_bytes: 1000,
            delay: Duration::from_hours(1),
            timeout: LIMIT,
        }
    }

    impl Counted {
        fn counters(&self) -> Counters {
            let [processed, queue_full, after_shutdown, exported, failed, rejected, too_large] =
                self.counts.clone().map(Counter::from_arc);
            Counters {
                processed,
                queue_full,
                too_large,
                after_shutdown,
                exported,
                failed,
                rejected,
            }
        }

        fn counts(&self) -> [u64; 7] {
            self.counts.each_ref().map(|count| count.load(Ordering::Relaxed))
        }
    }

    /// Queues seven items, of which five find room, lets them be sent, and then another one.
    fn exported(
        send: impl Fn(Vec<u32>) -> Result<(), SendError> + Send + Sync + 'static,
    ) -> ([u64; 7], Arc<ExportStats>) {
        let settings = QueueOptions { capacity: 5, batch: 2, ..settings() };
        let counted = Counted::default();
        let (queue, work) =
            Queue::new(settings, counted.counters(), LogReport::shared(), Call(send));
        (0..7).for_each(|item| queue.push(item));
        let runtime = ExportRuntime::start().unwrap();
        runtime.handle().spawn(work);
        queue.flush(LIMIT).unwrap();
        queue.push(7);
        queue.close(LIMIT).unwrap();
        queue.push(8);
        runtime.stop();
        (counted.counts(), queue.stats())
    }

    #[test]
    fn items_leave_in_order_and_in_batches() {
        let sent = Arc::<Mutex<Vec<_>>>::default();
        let keep = sent.clone();
        let (counts, stats) = exported(move |batch| {
            keep.lock().unwrap().push(batch);
            Ok(())
        });
        let batches: [&[u32]; 4] = [&[0, 1], &[2, 3], &[4], &[7]];
        assert_eq!(*sent.lock().unwrap(), batches);
        assert_eq!(counts, [6, 2, 1, 6, 0, 0, 0]);
        assert_eq!((stats.exported(), stats.outstanding()), (6, 3));
        assert_eq!((stats.produced(), stats.lost(), stats.queued()), (9, 3, 0));
    }

    #[test]
    fn counts_what_was_not_exported() {
        let (counts, stats) = exported(|batch| match &*batch {
            [0, _] => Err(OTelSdkError::InternalFailure("gone".to_owned()).into()),
            [2, _] => Err(SendError::Rejected { items: 1, reason: "no room".to_owned() }),
            // More than there were.
            [4] => Err(SendError::Rejected { items: 9, reason: String::new() }),
            _ => Ok(()),
        });
        assert_eq!(counts, [6, 2, 1, 2, 2, 2, 0]);
        assert_eq!((stats.exported(), stats.outstanding()), (2, 7));
        assert_eq!((stats.lost(), stats.queued()), (7, 0));
    }

    #[test]
    fn bytes_limit_batches_and_the_queue() {
        // Numbers of four bytes: two a batch, and three wait.
        let settings = QueueOptions { bytes: 12, batch_bytes: 8, ..settings() };
        let mut waiting = Waiting::<Vec<u32>>::default();
        let mut push = |item| waiting.push(item, &settings);
        let queued = |fills_batch| Pushed::Queued { fills_batch };
        assert_eq!([push(0), push(1)], [queued(false), queued(false)]);
        assert_eq!(push(2), queued(true), "the first batch is full");
        assert_eq!(push(3), Pushed::NoRoom);
        assert_eq!(waiting.take(), Some(vec![0, 1]));
        assert_eq!(waiting.push(4, &settings), queued(false));
        assert_eq!((waiting.take(), waiting.take()), (Some(vec![2, 4]), None));
        let small = QueueOptions { batch_bytes: 3, ..settings };
        assert_eq!(waiting.push(5, &small), Pushed::TooLarge);
    }

    #[test]
    fn loses_one_batch_when_an_exporter_panics() {
        let (counts, stats) = exported(|batch| {
            assert_ne!(batch, [0, 1], "a fault of an exporter");
            Ok(())
        });
        assert_eq!(counts, [6, 2, 1, 4, 2, 0, 0]);
        assert_eq!((stats.exported(), stats.outstanding()), (4, 5));
    }
}
