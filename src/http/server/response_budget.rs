//! Answers that are made and not yet taken: how many bytes of them there may be, and who is cut
//! off when there are more.

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

/// How long each client may take in what it is sent even if others need the memory.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long to wait for the memory of a client that was cut off before looking for another.
const RETRY: Duration = Duration::from_millis(10);

/// All answers that are not yet taken, and the clients that keep theirs waiting.
#[derive(Clone, Debug)]
pub struct Backlog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Bytes.
    limit: usize,
    /// Bytes.
    held: AtomicUsize,
    freed: Notify,
    last_id: AtomicU64,
    /// Those that may be cut off, who has been slow for longest first.
    slow: Mutex<BTreeMap<Place, CancellationToken>>,
}

type Place = (Instant, u64);

/// An answer in the backlog, until it is dropped.
#[derive(Debug)]
pub struct Held {
    bytes: usize,
    shared: Arc<Shared>,
}

/// A client that does not keep up with what it is sent, until it is dropped.
#[derive(Debug)]
pub struct Slow {
    place: Place,
    is_cut: CancellationToken,
    shared: Arc<Shared>,
}

impl Backlog {
    /// A backlog of so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            held: AtomicUsize::new(0),
            freed: Notify::new(),
            last_id: AtomicU64::new(0),
            slow: Mutex::default(),
        }))
    }

    /// Takes in an answer of so many bytes. If there is no room for it, the clients are cut off
    /// that have been slow for longest; if there are none, it is taken in all the same, for it
    /// will be gone soon.
    pub async fn hold(&self, bytes: usize) -> Held {
        let shared = &self.0;
        shared.held.fetch_add(bytes, Ordering::Relaxed);
        let held = Held { bytes, shared: shared.clone() };
        while shared.held.load(Ordering::Relaxed) > shared.limit && shared.cut_slowest() {
            let _ = timeout(RETRY, shared.freed.notified()).await;
        }
        held
    }

    /// Has a client among those that may be cut off.
    #[must_use]
    pub fn slow(&self) -> Slow {
        let shared = self.0.clone();
        let place = (Instant::now(), shared.last_id.fetch_add(1, Ordering::Relaxed));
        let is_cut = CancellationToken::new();
        shared.slow().insert(place, is_cut.clone());
        Slow { place, is_cut, shared }
    }
}

impl Shared {
    /// Whether there was one.
    fn cut_slowest(&self) -> bool {
        let mut slow = self.slow();
        let Some(first) = slow.first_entry() else { return false };
        let (since, _) = *first.key();
        if since.elapsed() < PATIENCE {
            return false;
        }
        first.remove().cancel();
        true
    }

    fn slow(&self) -> MutexGuard<'_, BTreeMap<Place, CancellationToken>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// How many there are.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.shared.freed.notify_waiters();
    }
}

impl Slow {
    /// Waits until the client is to be cut off.
    pub async fn cut(&self) {
        self.is_cut.cancelled().await;
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.shared.slow().remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    /// Holds `bytes` for a client that takes nothing, until it is cut off.
    fn stuck(backlog: &Backlog, held: Held) -> impl Future<Output = ()> + use<> {
        let slow = backlog.slow();
        async move {
            slow.cut().await;
            drop(held);
        }
    }

    #[tokio::test]
    async fn who_has_been_slow_for_longest_is_cut_off_and_no_more_than_must_be() {
        let backlog = Backlog::new(100);
        let (first, second) = (backlog.hold(40).await, backlog.hold(40).await);
        let first = stuck(&backlog, first);
        let mut second = Box::pin(stuck(&backlog, second));
        sleep(PATIENCE).await;
        let (third, ()) = tokio::join!(backlog.hold(60), first);
        assert!(timeout(RETRY, second.as_mut()).await.is_err());
        drop(third);
        // All there is.
        tokio::join!(backlog.hold(1000), second);
        assert_eq!(backlog.0.held.load(Ordering::Relaxed), 0);
        assert!(backlog.0.slow().is_empty());
    }

    #[tokio::test]
    async fn nobody_waits_for_those_who_keep_up() {
        let backlog = Backlog::new(100);
        let _held = backlog.hold(90).await;
        let _slow_for_a_moment = backlog.slow();
        let waits = async {
            tokio::select! {
                _held = backlog.hold(90) => false,
                () = pending() => true,
            }
        };
        assert!(!timeout(PATIENCE / 2, waits).await.unwrap());
    }
}
