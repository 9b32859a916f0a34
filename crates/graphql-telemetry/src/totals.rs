//! Totals of the process since its start, for the history of the admin API: what the metrics count by
//! label, in one number each, since the facade lets nobody read them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Operations that ended, whatever came of them.
pub(crate) static OPERATIONS: Total = Total::new();
/// Errors of responses.
pub(crate) static ERRORS: Total = Total::new();
/// Polls that took too long.
pub(crate) static SLOW_POLLS: Total = Total::new();

/// A number that only grows.
#[derive(Debug)]
pub(crate) struct Total(AtomicU64);

impl Total {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
