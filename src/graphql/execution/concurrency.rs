//! How many operations run at a time, and whose. The others wait for a moment, and are refused then:
//! they would only make all of them slow.
//!
//! Our own and not a semaphore, which serves in the order of coming: one caller with slow operations
//! would hold every place. Here a caller's limit falls as places are taken (the dynamic thresholds of
//! Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998), so
//! that there is always room for another: alone, a caller has up to three quarters of the places.

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

/// How many places a caller may have for each that is free.
const SHARE: usize = 3;

/// Lets so many operations in at a time.
#[derive(Clone, Debug)]
pub struct Gate {
    places: Arc<Places>,
    patience: Duration,
}

/// An operation's place. Held for as long as it runs, also when nobody waits for it any more.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    whose: Identity,
}

#[derive(Debug)]
struct Places(Mutex<Table>);

#[derive(Debug)]
struct Table {
    free: usize,
    callers: HashMap<Identity, Share>,
    /// The callers with operations that wait, who gets a place next in front.
    turns: VecDeque<Identity>,
}

/// What a caller has of the places.
#[derive(Debug, Default)]
struct Share {
    held: usize,
    /// In the order of coming.
    waiting: VecDeque<oneshot::Sender<Place>>,
}

impl Gate {
    /// As many as `limits` allow.
    #[must_use]
    pub fn new(limits: &RequestLimits) -> Self {
        let table =
            Table { free: limits.max_operations, callers: HashMap::new(), turns: VecDeque::new() };
        Self { places: Arc::new(Places(Mutex::new(table))), patience: limits.queue_wait }
    }

    /// Waits for a place: in the order of coming among the caller's own operations, and in turns
    /// among callers.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if there is none in time. Nothing is logged for each of them: what
    /// a refusal costs is taken from those who were let in.
    pub async fn enter(&self, whose: Identity) -> Result<Place> {
        static WARNINGS: RateLimiter = RateLimiter::once_a_minute();
        let waiting = match self.places.enter(whose) {
            Ok(place) => {
                telemetry::waited(Duration::ZERO);
                return Ok(place);
            }
            Err(waiting) => waiting,
        };
        let came = Instant::now();
        let place = timeout(self.patience, waiting).await;
        let waited = came.elapsed();
        telemetry::waited(waited);
        if let Ok(Ok(place)) = place {
            return Ok(place);
        }
        self.places.table().forget_those_who_left(whose);
        telemetry::refused(Error::Overloaded.code(), waited);
        if WARNINGS.admit().is_some() {
            warn!(
                name: "graphql.overloaded",
                { graphql.queue.duration = waited.as_secs_f64() },
                "as many operations run as may; some are refused, which graphql.server.errors counts"
            );
        }
        Err(Error::Overloaded)
    }
}

impl Places {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<(Identity, oneshot::Sender<Place>)> {
        self.table().next()
    }

    /// A place at once, or where one will come.
    #[expect(clippy::result_large_err, reason = "it is no error, and not kept")]
    fn enter(
        self: &Arc<Self>,
        whose: Identity,
    ) -> std::result::Result<Place, oneshot::Receiver<Place>> {
        let mut table = self.table();
        let free = table.free;
        let share = table.callers.entry(whose).or_default();
        if share.may_enter(free) {
            share.held += 1;
            table.free -= 1;
            return Ok(Place { places: self.clone(), whose });
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
    /// Whose operation is let in next, if one may be, and the way to tell it.
    fn next(&mut self) -> Option<(Identity, oneshot::Sender<Place>)> {
        for _ in 0..self.turns.len() {
            let whose = self.turns.pop_front()?;
            let Some(share) = self.callers.get_mut(&whose) else { continue };
            share.forget_those_who_left();
            let sender = if share.may_enter(self.free) { share.waiting.pop_front() } else { None };
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

    fn forget_those_who_left(&mut self, whose: Identity) {
        if let Some(share) = self.callers.get_mut(&whose) {
            share.forget_those_who_left();
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
    const fn may_enter(&self, free: usize) -> bool {
        self.held < free.saturating_mul(SHARE)
    }

    /// All wait equally long, so that those who left are in front.
    fn forget_those_who_left(&mut self) {
        while self.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            self.waiting.pop_front();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        table.free += 1;
        if let Some(share) = table.callers.get_mut(&self.whose) {
            share.held -= 1;
        }
        table.clean(self.whose);
        drop(table);
        // Not only one: the caller's own limit has changed, too.
        while let Some((whose, sender)) = self.places.next() {
            // Who left meanwhile gives the place back by this.
            let _ = sender.send(Self { places: self.places.clone(), whose });
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

    fn gate(places: &str, patience: &str) -> Gate {
        let arguments = ["colophon", "--max-operations", places, "--queue-wait", patience];
        Gate::new(&Cli::parse_from(arguments).settings.limits.requests)
    }

    #[tokio::test]
    async fn a_place_is_had_at_once_or_soon_or_not_at_all() {
        let gate = gate("1", "200ms");
        let place = gate.enter(ONE).await.unwrap();
        let came = Instant::now();
        assert!(matches!(gate.enter(ONE).await, Err(Error::Overloaded)));
        assert!(came.elapsed() >= Duration::from_millis(200));
        let (next, ()) = tokio::join!(gate.enter(ONE), async { drop(place) });
        next.unwrap();
    }

    #[tokio::test]
    async fn one_caller_leaves_room_for_others() {
        let gate = gate("8", "10ms");
        let mut all = Vec::new();
        while let Ok(place) = gate.enter(ONE).await {
            all.push(place);
        }
        assert_eq!(all.len(), 6);
        for number in 2..4 {
            all.push(gate.enter(Identity::new(number)).await.unwrap());
        }
        assert!(gate.enter(ANOTHER).await.is_err());
        drop(all);
        let table = gate.places.table();
        assert!(table.free == 8 && table.callers.is_empty() && table.turns.is_empty(), "{table:?}");
    }

    #[tokio::test]
    async fn callers_take_turns() {
        let gate = gate("1", "10s");
        let place = gate.enter(ONE).await.unwrap();
        let order = Mutex::new(Vec::new());
        let enter = async |whose| {
            let place = gate.enter(whose).await.unwrap();
            order.lock().unwrap().push(whose);
            drop(place);
        };
        let first = async { tokio::join!(enter(ONE), enter(ONE), enter(ONE), enter(ANOTHER)) };
        tokio::join!(first, async { drop(place) });
        assert_eq!(*order.lock().unwrap(), [ONE, ANOTHER, ONE, ONE]);
    }

    #[tokio::test]
    async fn who_leaves_takes_no_place_along() {
        let gate = gate("1", "10s");
        let place = gate.enter(ONE).await.unwrap();
        let mut leaving = Box::pin(gate.enter(ANOTHER));
        assert!(timeout(Duration::from_millis(1), &mut leaving).await.is_err());
        // Once before the place is given, and once after.
        drop(place);
        drop(leaving);
        let place = gate.enter(ONE).await.unwrap();
        let leaving = Box::pin(gate.enter(ANOTHER));
        assert!(timeout(Duration::from_millis(1), leaving).await.is_err());
        drop(place);
        gate.enter(ONE).await.unwrap();
        let table = gate.places.table();
        assert!(table.free == 1 && table.callers.is_empty() && table.turns.is_empty(), "{table:?}");
    }
}
