//! Memory for responses that are not yet sent, and which clients are disconnected when it is exhausted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long a client may take to receive before it can be disconnected.
const MIN_TRANSFER_TIME: Duration = Duration::from_millis(100);
/// How long to wait for the memory of a disconnected client before disconnecting another.
const RETRY: Duration = Duration::from_millis(10);

/// The bytes of all responses that are not yet sent, and the clients that are slow to receive them.
#[derive(Clone, Debug)]
pub struct ResponseBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Bytes.
    limit: usize,
    /// Bytes.
    reserved: AtomicUsize,
    freed: Notify,
    last_id: AtomicU64,
    /// Clients that can be disconnected, the slowest first.
    slow: Mutex<BTreeMap<EvictionOrder, CancellationToken>>,
}

type EvictionOrder = (Instant, u64);

/// The bytes of a response, released on drop.
#[derive(Debug)]
pub struct Reservation {
    bytes: usize,
    shared: Arc<Shared>,
}

/// A client that is slow to receive, until it is dropped.
#[derive(Debug)]
pub struct EvictionCandidate {
    order: EvictionOrder,
    evicted: CancellationToken,
    shared: Arc<Shared>,
}

impl ResponseBudget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            reserved: AtomicUsize::new(0),
            freed: Notify::new(),
            last_id: AtomicU64::new(0),
            slow: Mutex::default(),
        }))
    }

    /// Reserves the bytes of a response. If they exceed the limit, the slowest clients are disconnected; if
    /// none is slow, the bytes are reserved all the same, since they will be sent soon.
    pub async fn reserve(&self, bytes: usize) -> Reservation {
        let shared = &self.0;
        shared.reserved.fetch_add(bytes, Ordering::Relaxed);
        let reserved = Reservation { bytes, shared: shared.clone() };
        while shared.reserved.load(Ordering::Relaxed) > shared.limit && shared.evict_slowest() {
            let _ = timeout(RETRY, shared.freed.notified()).await;
        }
        reserved
    }

    /// Registers a client that is slow to receive.
    #[must_use]
    pub fn register_slow(&self) -> EvictionCandidate {
        let shared = self.0.clone();
        let order = (Instant::now(), shared.last_id.fetch_add(1, Ordering::Relaxed));
        let evicted = CancellationToken::new();
        shared.slow_clients().insert(order, evicted.clone());
        EvictionCandidate { order, evicted, shared }
    }
}

impl Shared {
    /// Returns whether there was one to disconnect.
    fn evict_slowest(&self) -> bool {
        let mut slow = self.slow_clients();
        let Some(first) = slow.first_entry() else { return false };
        let (since, _) = *first.key();
        if since.elapsed() < MIN_TRANSFER_TIME {
            return false;
        }
        first.remove().cancel();
        true
    }

    fn slow_clients(&self) -> MutexGuard<'_, BTreeMap<EvictionOrder, CancellationToken>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
        self.shared.freed.notify_waiters();
    }
}

impl EvictionCandidate {
    /// Waits until the client is to be disconnected.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for EvictionCandidate {
    fn drop(&mut self) {
        self.shared.slow_clients().remove(&self.order);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    /// Holds `bytes` for a client that takes nothing, until it is evicted.
    fn stuck(budget: &ResponseBudget, reserved: Reservation) -> impl Future<Output = ()> + use<> {
        let slow = budget.register_slow();
        async move {
            slow.evicted().await;
            drop(reserved);
        }
    }

    #[tokio::test]
    async fn evicts_the_slowest_clients_and_no_more() {
        let budget = ResponseBudget::new(100);
        let (first, second) = (budget.reserve(40).await, budget.reserve(40).await);
        let first = stuck(&budget, first);
        let mut second = Box::pin(stuck(&budget, second));
        sleep(MIN_TRANSFER_TIME).await;
        let (third, ()) = tokio::join!(budget.reserve(60), first);
        assert!(timeout(RETRY, second.as_mut()).await.is_err());
        drop(third);
        // All there is.
        tokio::join!(budget.reserve(1000), second);
        assert_eq!(budget.0.reserved.load(Ordering::Relaxed), 0);
        assert!(budget.0.slow_clients().is_empty());
    }

    #[tokio::test]
    async fn evicts_nobody_who_keeps_up() {
        let budget = ResponseBudget::new(100);
        let _held = budget.reserve(90).await;
        let _slow_for_a_moment = budget.register_slow();
        let waits = async {
            tokio::select! {
                _held = budget.reserve(90) => false,
                () = pending() => true,
            }
        };
        assert!(!timeout(MIN_TRANSFER_TIME / 2, waits).await.unwrap());
    }
}
