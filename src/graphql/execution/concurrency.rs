//! Limits concurrent operations, in all and for each caller. Further ones wait for a moment and are then
//! rejected: they would only make all of them slow.
//!
//! Not a semaphore, which serves in the order of arrival: one caller with slow operations
//! would hold every permit. Here a caller's limit falls as permits are taken (the dynamic thresholds of
//! Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998), so
//! that there is always room for another: alone, a caller has up to three quarters of the permits.

use runtime_insight::RateLimiter;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use graphql_telemetry::graphql as telemetry;
use tokio::{sync::oneshot, time::timeout};
use tracing::warn;

use crate::{
    config::limits::RequestLimits,
    error::{Error, Result},
    security::Identity,
};

/// How many permits a caller may have for each that is free.
const SHARE: usize = 3;

/// Limits concurrent operations.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    permits: Arc<Permits>,
    queue_wait: Duration,
}

/// An operation's permit. Kept for as long as it runs, also when nobody waits for it any more.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    whose: Identity,
}

#[derive(Debug)]
struct Permits(Mutex<Table>);

#[derive(Debug)]
struct Table {
    free: usize,
    callers: HashMap<Identity, Share>,
    /// The callers with operations that wait, who gets a permit next in front.
    turns: VecDeque<Identity>,
}

/// What a caller has of the permits.
#[derive(Debug, Default)]
struct Share {
    held: usize,
    /// In the order of arrival.
    waiting: VecDeque<oneshot::Sender<Permit>>,
}

impl ConcurrencyLimit {
    /// As many as `limits` allow.
    #[must_use]
    pub fn new(limits: &RequestLimits) -> Self {
        let table =
            Table { free: limits.max_operations, callers: HashMap::new(), turns: VecDeque::new() };
        Self { permits: Arc::new(Permits(Mutex::new(table))), queue_wait: limits.queue_wait }
    }

    /// Waits for a permit: in the order of arrival among the caller's own operations, and in turns
    /// among callers.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if there is none in time. Nothing is logged for each of them: what
    /// a refusal costs is taken from those who were let in.
    pub async fn acquire(&self, whose: Identity) -> Result<Permit> {
        self.acquire_within(whose, self.queue_wait).await
    }

    /// As [`Self::acquire`], and waits for so long.
    ///
    /// # Errors
    /// As for [`Self::acquire`].
    pub async fn acquire_within(&self, whose: Identity, wait: Duration) -> Result<Permit> {
        static WARNINGS: RateLimiter = RateLimiter::once_a_minute();
        let waiting = match self.permits.acquire(whose) {
            Ok(permit) => {
                telemetry::waited(Duration::ZERO);
                return Ok(permit);
            }
            Err(waiting) => waiting,
        };
        let came = Instant::now();
        let permit = timeout(wait, waiting).await;
        let waited = came.elapsed();
        telemetry::waited(waited);
        if let Ok(Ok(permit)) = permit {
            return Ok(permit);
        }
        self.permits.table().drop_abandoned(whose);
        telemetry::refused(Error::Overloaded.code(), waited);
        if WARNINGS.admit().is_some() {
            warn!(
                name: "graphql.overloaded",
                { graphql.queue.duration = waited.as_secs_f64() },
                "concurrency limit reached; rejecting operations (counted by graphql.server.errors)"
            );
        }
        Err(Error::Overloaded)
    }
}

impl Permits {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<(Identity, oneshot::Sender<Permit>)> {
        self.table().next()
    }

    /// A permit at once, or where one will come.
    #[expect(clippy::result_large_err, reason = "it is no error, and not kept")]
    fn acquire(
        self: &Arc<Self>,
        whose: Identity,
    ) -> std::result::Result<Permit, oneshot::Receiver<Permit>> {
        let mut table = self.table();
        let free = table.free;
        let share = table.callers.entry(whose).or_default();
        if share.may_acquire(free) {
            share.held += 1;
            table.free -= 1;
            return Ok(Permit { permits: self.clone(), whose });
        }
        let (sender, receiver) = oneshot::channel();
        let is_first = share.waiting.is_empty();
        share.waiting.push_back(sender);
        if is_first {
            table.turns.push_back(whose);
        }
        Err(receiver)
    }
}

impl Table {
    /// The caller whose operation gets the next permit, if there is one, and where to send it.
    fn next(&mut self) -> Option<(Identity, oneshot::Sender<Permit>)> {
        for _ in 0..self.turns.len() {
            let whose = self.turns.pop_front()?;
            let Some(share) = self.callers.get_mut(&whose) else { continue };
            share.drop_abandoned();
            let sender =
                if share.may_acquire(self.free) { share.waiting.pop_front() } else { None };
            if !share.waiting.is_empty() {
                self.turns.push_back(whose);
            }
            if let Some(sender) = sender {
                share.held += 1;
                self.free -= 1;
                return Some((whose, sender));
            }
            self.clean(whose);
        }
        None
    }

    fn drop_abandoned(&mut self, whose: Identity) {
        if let Some(share) = self.callers.get_mut(&whose) {
            share.drop_abandoned();
            self.clean(whose);
        }
    }

    /// Keeps nothing of a caller that neither runs nor waits, and no turn of one that does not wait.
    fn clean(&mut self, whose: Identity) {
        let Some(share) = self.callers.get(&whose).filter(|it| it.waiting.is_empty()) else {
            return;
        };
        let is_gone = share.held == 0;
        self.turns.retain(|it| *it != whose);
        if is_gone {
            self.callers.remove(&whose);
        }
    }
}

impl Share {
    const fn may_acquire(&self, free: usize) -> bool {
        self.held < free.saturating_mul(SHARE)
    }

    /// All wait equally long, so that those who left are in front.
    fn drop_abandoned(&mut self) {
        while self.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            self.waiting.pop_front();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut table = self.permits.table();
        table.free += 1;
        if let Some(share) = table.callers.get_mut(&self.whose) {
            share.held -= 1;
        }
        table.clean(self.whose);
        drop(table);
        // Not only one: the caller's own limit has changed, too.
        while let Some((whose, sender)) = self.permits.next() {
            // Who left meanwhile gives the permit back by this.
            let _ = sender.send(Self { permits: self.permits.clone(), whose });
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Cli;

    const ONE: Identity = Identity::new(1);
    const ANOTHER: Identity = Identity::new(2);

    fn concurrency(permits: &str, queue_wait: &str) -> ConcurrencyLimit {
        let arguments = ["colophon", "--max-operations", permits, "--queue-wait", queue_wait];
        ConcurrencyLimit::new(&Cli::parse_from(arguments).settings.limits.requests)
    }

    #[tokio::test]
    async fn grants_a_permit_at_once_later_or_never() {
        let concurrency = concurrency("1", "200ms");
        let permit = concurrency.acquire(ONE).await.unwrap();
        let came = Instant::now();
        assert!(matches!(concurrency.acquire(ONE).await, Err(Error::Overloaded)));
        assert!(came.elapsed() >= Duration::from_millis(200));
        let (next, ()) = tokio::join!(concurrency.acquire(ONE), async { drop(permit) });
        next.unwrap();
    }

    #[tokio::test]
    async fn leaves_permits_for_other_callers() {
        let concurrency = concurrency("8", "10ms");
        let mut all = Vec::new();
        while let Ok(permit) = concurrency.acquire(ONE).await {
            all.push(permit);
        }
        assert_eq!(all.len(), 6);
        for number in 2..4 {
            all.push(concurrency.acquire(Identity::new(number)).await.unwrap());
        }
        assert!(concurrency.acquire(ANOTHER).await.is_err());
        drop(all);
        let table = concurrency.permits.table();
        assert!(table.free == 8 && table.callers.is_empty() && table.turns.is_empty(), "{table:?}");
    }

    #[tokio::test]
    async fn serves_callers_in_turns() {
        let concurrency = concurrency("1", "10s");
        let permit = concurrency.acquire(ONE).await.unwrap();
        let order = Mutex::new(Vec::new());
        let acquire = async |whose| {
            let permit = concurrency.acquire(whose).await.unwrap();
            order.lock().unwrap().push(whose);
            drop(permit);
        };
        let first =
            async { tokio::join!(acquire(ONE), acquire(ONE), acquire(ONE), acquire(ANOTHER)) };
        tokio::join!(first, async { drop(permit) });
        assert_eq!(*order.lock().unwrap(), [ONE, ANOTHER, ONE, ONE]);
    }

    #[tokio::test]
    async fn releases_the_permit_of_an_abandoned_wait() {
        let concurrency = concurrency("1", "10s");
        let permit = concurrency.acquire(ONE).await.unwrap();
        let mut leaving = Box::pin(concurrency.acquire(ANOTHER));
        assert!(timeout(Duration::from_millis(1), &mut leaving).await.is_err());
        // Once before the permit is given, and once after.
        drop(permit);
        drop(leaving);
        let permit = concurrency.acquire(ONE).await.unwrap();
        let leaving = Box::pin(concurrency.acquire(ANOTHER));
        assert!(timeout(Duration::from_millis(1), leaving).await.is_err());
        drop(permit);
        concurrency.acquire(ONE).await.unwrap();
        let table = concurrency.permits.table();
        assert!(table.free == 1 && table.callers.is_empty() && table.turns.is_empty(), "{table:?}");
    }
}
