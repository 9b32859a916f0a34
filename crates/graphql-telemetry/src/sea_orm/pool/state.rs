//! The state of the process's pools, as the admin API shows it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Serialize;

use crate::latency::{Latencies, LatencySummary};

/// The pools of this process that live, in the order in which they were made.
static POOLS: Mutex<Vec<Weak<PoolState>>> = Mutex::new(Vec::new());

/// What a pool does at this moment, and has done.
#[derive(Debug)]
pub(crate) struct PoolState {
    name: &'static str,
    max: usize,
    used: AtomicUsize,
    idle: AtomicUsize,
    waiting: AtomicUsize,
    timeouts: AtomicU64,
    acquired: AtomicU64,
    /// Of those who had to wait.
    waits: Latencies,
}

/// The same as numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PoolStatus {
    /// The pool's name, which another may have as well.
    pub name: &'static str,
    /// How many connections it may have.
    pub max: usize,
    /// Connections in use.
    pub used: usize,
    /// Connections that are open and not in use.
    pub idle: usize,
    /// How many wait for a connection.
    pub waiting: usize,
    /// How many waited in vain.
    pub timeouts: u64,
    /// How often a connection was acquired.
    pub acquired: u64,
    /// How long it took those who had to wait.
    pub wait: LatencySummary,
}

impl PoolState {
    /// Makes the state of a pool, one of the process's pools for as long as it lives.
    pub fn register(name: &'static str, max: usize) -> Arc<Self> {
        let state = Arc::new(Self {
            name,
            max,
            used: AtomicUsize::default(),
            idle: AtomicUsize::default(),
            waiting: AtomicUsize::default(),
            timeouts: AtomicU64::default(),
            acquired: AtomicU64::default(),
            waits: Latencies::default(),
        });
        let mut pools = registry();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&state));
        state
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn set_idle(&self, connections: usize) {
        self.idle.store(connections, Ordering::Relaxed);
    }

    pub fn begin_use(&self) {
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end_use(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn begin_wait(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end_wait(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn count_acquired(&self) {
        self.acquired.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_timeout(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    pub fn record_wait(&self, time: Duration) {
        self.waits.record(time);
    }

    /// Returns how many connections are used and idle, and how many wait for one.
    pub fn connections(&self) -> [usize; 3] {
        [&self.used, &self.idle, &self.waiting].map(|count| count.load(Ordering::Relaxed))
    }

    /// Returns the state in numbers.
    pub fn status(&self) -> PoolStatus {
        let [used, idle, waiting] = self.connections();
        PoolStatus {
            name: self.name,
            max: self.max,
            used,
            idle,
            waiting,
            timeouts: self.timeouts.load(Ordering::Relaxed),
            acquired: self.acquired.load(Ordering::Relaxed),
            wait: self.waits.summary(),
        }
    }
}

/// Returns the pools of this process.
pub(crate) fn pools() -> Vec<Arc<PoolState>> {
    registry().iter().filter_map(Weak::upgrade).collect()
}

fn registry() -> MutexGuard<'static, Vec<Weak<PoolState>>> {
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}
