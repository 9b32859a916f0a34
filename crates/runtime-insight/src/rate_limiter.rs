//! Limits how often something happens, such as a log line: a token bucket. Our own and not
//! `governor`'s, which does not count what it rejects.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Admits a burst, and then so many a second.
#[derive(Debug)]
pub struct RateLimiter {
    burst: f64,
    per_second: f64,
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    refilled: Instant,
    rejected: u64,
}

impl RateLimiter {
    /// A limiter that admits `burst` at once and `per_second` from then on.
    #[must_use]
    pub const fn new(burst: f64, per_second: f64) -> Self {
        Self { burst, per_second, state: Mutex::new(None) }
    }

    /// A limiter that admits one, and a further one after a minute.
    #[must_use]
    pub const fn once_a_minute() -> Self {
        Self::new(1.0, 1.0 / 60.0)
    }

    /// Returns how many were rejected since the last one that was admitted, or none if this one is
    /// rejected too.
    pub fn admit(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let state = state.get_or_insert(State { tokens: self.burst, refilled: now, rejected: 0 });
        let gained = (now - state.refilled).as_secs_f64() * self.per_second;
        (state.tokens, state.refilled) = ((state.tokens + gained).min(self.burst), now);
        if state.tokens < 1.0 {
            state.rejected += 1;
            return None;
        }
        state.tokens -= 1.0;
        Some(std::mem::take(&mut state.rejected))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn admits_a_burst_and_counts_what_it_rejects() {
        let limiter = RateLimiter::new(2.0, 0.001);
        let admitted: Vec<_> = (0..4).map(|_| limiter.admit()).collect();
        assert_eq!(admitted, [Some(0), Some(0), None, None]);
        let mut state = limiter.state.lock().unwrap();
        // As if an hour had passed: full again, and no more than that.
        state.as_mut().unwrap().refilled -= Duration::from_hours(1);
        drop(state);
        let admitted: Vec<_> = (0..3).map(|_| limiter.admit()).collect();
        assert_eq!(admitted, [Some(2), Some(0), None]);
    }
}
