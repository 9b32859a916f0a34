//! Batching without waiting.
//!
//! The keys that the fields of one level ask for are collected while the operation's
//! future is polled. When it can go no further, every sibling has asked, and the batches
//! are sent off at once. It can go further if it was woken while it was polled, or if tokio made it
//! give way: then siblings may not have been polled yet. (async-graphql's own loader waits a millisecond instead, a floor
//! under the time of every nested query.)

use std::{
    collections::HashMap,
    future::poll_fn,
    hash::Hash,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{self, Poll, Wake, Waker},
};

use futures_util::future::BoxFuture;
use graphql_telemetry::{
    graphql::{Field, RequestingFields},
    intern,
};
use opentelemetry::Context;
use tokio::{
    sync::oneshot,
    task::{JoinSet, coop::has_budget_remaining},
};
use tracing::Instrument;

use crate::error::{Error, Result};

/// Loads the values of many keys at once.
pub trait Loader: Send + Sync + 'static {
    /// What is asked for.
    type Key: Clone + Eq + Hash + Send + 'static;
    /// What is answered.
    type Value: Clone + Send + 'static;
    /// Names the batch's task and span.
    const NAME: &'static str;

    /// The values of those keys that have one. What is done for them hangs below `parent`.
    fn load(
        &self,
        parent: &Context,
        keys: Vec<Self::Key>,
    ) -> impl Future<Output = Result<HashMap<Self::Key, Self::Value>>> + Send;
}

/// The batches of one operation that are to be sent off.
#[derive(Clone, Default)]
pub struct BatchScheduler(Arc<Mutex<Vec<PendingBatch>>>);

/// A batch's name, and the batch.
type PendingBatch = (&'static str, BoxFuture<'static, Completion>);

/// Hands a batch's values to the fields that wait for them.
type Completion = Box<dyn FnOnce() + Send>;

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
                    // It gives way to others and will go on: long lists are polled in parts.
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

    fn push(&self, name: &'static str, batch: BoxFuture<'static, Completion>) {
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

/// Who waits for a batch: the fields that asked, and each call with the key it asked for.
struct Pending<B: Loader> {
    fields: RequestingFields,
    keys: HashMap<B::Key, Vec<Waiter<B>>>,
}

/// Takes the value of a key, if it has one.
type Waiter<B> = oneshot::Sender<Result<Option<<B as Loader>::Value>>>;

impl<B: Loader> Default for Pending<B> {
    fn default() -> Self {
        Self { fields: RequestingFields::default(), keys: HashMap::new() }
    }
}

/// Collects keys and loads them in batches. Made anew for each request, and it keeps nothing:
/// a mutation's later fields must see what its earlier ones did.
pub struct DataLoader<B: Loader> {
    batch: Arc<B>,
    batches: BatchScheduler,
    waiting: Arc<Mutex<Pending<B>>>,
}

impl<B: Loader> DataLoader<B> {
    /// A loader whose batches are driven by `batches`.
    pub fn new(batch: B, batches: BatchScheduler) -> Self {
        Self { batch: Arc::new(batch), batches, waiting: Arc::default() }
    }

    /// The value of `key`, loaded together with all keys that are asked for at the same time, by
    /// whichever field.
    ///
    /// # Errors
    /// The batch's error.
    pub async fn load(&self, field: &Arc<Field>, key: B::Key) -> Result<Option<B::Value>> {
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let first = waiting.keys.is_empty();
            waiting.fields.add(field);
            waiting.keys.entry(key).or_default().push(sender);
            first
        };
        if first {
            let (batch, waiting) = (self.batch.clone(), self.waiting.clone());
            self.batches.push(B::NAME, Box::pin(run(batch, waiting)));
        }
        receiver.await.unwrap_or_else(|_| Err(Error::Internal(format!("{} panicked", B::NAME))))
    }
}

async fn run<B: Loader>(batch: Arc<B>, waiting: Arc<Mutex<Pending<B>>>) -> Completion {
    let Pending { fields, keys: waiting } =
        std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
    let mut values = load(&*batch, &fields, waiting.keys().cloned().collect()).await;
    Box::new(move || {
        for (key, senders) in waiting {
            let value = match &mut values {
                Ok(values) => Ok(values.remove(&key)),
                Err(error) => Err(error.clone()),
            };
            for sender in senders {
                // Its field may be gone, if a sibling's error ended their parent.
                let _ = sender.send(value.clone());
            }
        }
    })
}

/// Loads a batch for those who asked for it.
///
/// # Errors
/// The batch's error.
pub async fn load<B: Loader>(
    batch: &B,
    fields: &RequestingFields,
    keys: Vec<B::Key>,
) -> Result<HashMap<B::Key, B::Value>> {
    let span = fields.batch(B::NAME, keys.len());
    let values = span.work(batch.load(span.context(), keys)).await;
    if let Err(error) = &values {
        span.fail(error);
    }
    values
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    struct Double(Arc<Mutex<Vec<usize>>>);

    impl Loader for Double {
        type Key = u32;
        type Value = u32;
        const NAME: &'static str = "double";

        async fn load(&self, _: &Context, keys: Vec<u32>) -> Result<HashMap<u32, u32>> {
            self.0.lock().unwrap().push(keys.len());
            tokio::task::yield_now().await;
            assert!(!keys.contains(&666), "unlucky");
            Ok(keys.into_iter().filter(|key| *key != 7).map(|key| (key, key * 2)).collect())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn siblings_share_a_batch_and_so_does_the_next_level() {
        let sizes = Arc::<Mutex<Vec<usize>>>::default();
        let batches = BatchScheduler::default();
        let loader = DataLoader::new(Double(sizes.clone()), batches.clone());
        let field = Arc::new(Field::untraced());
        let level = async |key: u32| {
            let once = loader.load(&field, key % 50).await.unwrap().unwrap_or_default();
            loader.load(&field, 1000 + once).await.unwrap()
        };
        // More than the library polls at a stretch, and than tokio lets one task do.
        let values = batches.drive(join_all((0..1000).map(level))).await;
        assert_eq!(values[3], Some(2012));
        assert_eq!(values[53], Some(2012));
        assert_eq!(values[7], Some(2000), "a key without a value has none");
        assert_eq!(*sizes.lock().unwrap(), [50, 49]);
    }

    #[tokio::test]
    async fn a_panic_in_a_batch_is_an_error() {
        let batches = BatchScheduler::default();
        let loader = DataLoader::new(Double(Arc::default()), batches.clone());
        let field = Arc::new(Field::untraced());
        let result = batches.drive(loader.load(&field, 666)).await;
        assert!(matches!(result, Err(Error::Internal(_))));
    }
}
