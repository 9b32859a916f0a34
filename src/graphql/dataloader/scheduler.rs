//! When batches are sent off: each time the operation's future is pending and cannot go further by itself.
//!
//! ```text
//!  poll the operation ── ready ──────────────► its result
//!        │ pending
//!        ├─ woken meanwhile, or tokio's budget is used up: siblings may not have been polled ► pending
//!        ├─ no batch was asked for ► pending
//!        └─ spawn each batch as a task, poll again; what they load is delivered before the next poll
//! ```

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{self, Poll, Wake, Waker},
};

use futures_util::future::BoxFuture;
use graphql_telemetry::intern;
use tokio::task::{JoinSet, coop::has_budget_remaining};
use tracing::Instrument;

/// The batches of one operation that are to be sent off.
#[derive(Clone, Default)]
pub struct BatchScheduler(Arc<Mutex<Vec<PendingBatch>>>);

/// A batch's name, and the batch.
type PendingBatch = (&'static str, BoxFuture<'static, Completion>);

/// Hands a batch's values to the fields that wait for them.
pub(super) type Completion = Box<dyn FnOnce() + Send>;

impl BatchScheduler {
    /// Runs `operation`, and each time it can go no further, the batches it asked for, each as a
    /// task of its own. They end with it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn drive<T>(&self, operation: impl Future<Output = T>) -> T {
        let mut operation = pin!(operation);
        let mut running: JoinSet<Completion> = JoinSet::new();
        let woken = Arc::<WakeFlag>::default();
        let waker = Waker::from(woken.clone());
        poll_fn(|context| {
            loop {
                // Delivered here and not by the batch's own task: the operation would wake at the
                // first value, and its next level would be cut into several batches.
                while let Poll::Ready(Some(done)) = running.poll_join_next(context) {
                    // A batch that panicked has dropped its senders, which its fields notice.
                    if let Ok(complete) = done {
                        complete();
                    }
                }
                let mut inner = task::Context::from_waker(&waker);
                woken.forward_to(context.waker());
                if let Poll::Ready(result) = operation.as_mut().poll(&mut inner) {
                    return Poll::Ready(result);
                }
                if woken.take() {
                    // It yields and will continue: long lists are polled in parts.
                    return Poll::Pending;
                }
                if !has_budget_remaining() {
                    // It may have been stopped by tokio in the middle of its siblings.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let due = self.take();
                if due.is_empty() {
                    return Poll::Pending;
                }
                for (name, batch) in due {
                    spawn(&mut running, name, batch);
                }
            }
        })
        .await
    }

    pub(super) fn push(&self, name: &'static str, batch: BoxFuture<'static, Completion>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name, batch));
    }

    fn take(&self) -> Vec<PendingBatch> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Notes that the operation was woken, and hands the wake on.
#[derive(Default)]
struct WakeFlag {
    was: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl WakeFlag {
    fn forward_to(&self, waker: &Waker) {
        self.was.store(false, Ordering::Release);
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    fn take(&self) -> bool {
        self.was.swap(false, Ordering::AcqRel)
    }
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.was.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn spawn(
    running: &mut JoinSet<Completion>,
    name: &'static str,
    batch: BoxFuture<'static, Completion>,
) {
    runtime_insight::spawn_in(running, intern(&format!("batch {name}")), batch.in_current_span());
}
