//! When to try again what has failed, as opentelemetry-otlp does it for metrics.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost::bytes::Bytes;
use tokio::time::{sleep, timeout_at};

const RETRIES: u8 = 3;
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_millis(1600);
/// What a collector may ask for at most.
const LONGEST_ASKED: Duration = Duration::from_secs(30);
const JITTER_MS: u32 = 100;

/// Why an attempt failed, and what is to be done.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// For the log.
    pub reason: String,
    /// Whether it is worth another attempt.
    pub retry: Retry,
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again.
    Never,
    /// After a while.
    Later,
    /// After this time at the earliest, which the collector demands.
    After(Duration),
}

/// Makes attempts until one succeeds, none is left or `limit` is over.
pub async fn retried<F>(limit: Duration, attempt: impl Fn() -> F) -> Result<Bytes, Failure>
where
    F: Future<Output = Result<Bytes, Failure>>,
{
    let deadline = Instant::now() + limit;
    let mut backoff = Backoff::default();
    loop {
        let failure = match timeout_at(deadline.into(), attempt()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => failure,
            Err(_) => {
                let reason = format!("no response within {limit:?}");
                return Err(Failure { reason, retry: Retry::Never });
            }
        };
        match backoff.pause(failure.retry, jitter()) {
            Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
            _ => return Err(failure),
        }
    }
}

/// So that not all clients of a collector come back at the same time.
fn jitter() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis((now.subsec_nanos() % (JITTER_MS + 1)).into())
}

/// Pauses that grow.
struct Backoff {
    left: u8,
    pause: Duration,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { left: RETRIES, pause: FIRST, longest: LONGEST }
    }
}

impl Backoff {
    /// How long to wait, unless it is not to be tried again.
    fn pause(&mut self, retry: Retry, jitter: Duration) -> Option<Duration> {
        let asked = match retry {
            Retry::Never => return None,
            Retry::Later => Duration::ZERO,
            Retry::After(asked) => asked.min(LONGEST_ASKED),
        };
        self.left = self.left.checked_sub(1)?;
        if asked > self.longest {
            self.longest = LONGEST_ASKED;
        }
        let pause = self.pause.max(asked);
        self.pause = (pause * 2).min(self.longest);
        Some((pause + jitter).min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn pauses(retries: &[Retry]) -> Vec<Option<Duration>> {
        let mut backoff = Backoff::default();
        retries.iter().map(|retry| backoff.pause(*retry, MS(7))).collect()
    }

    #[test]
    fn pauses_double_and_end() {
        let expected = [Some(MS(107)), Some(MS(207)), Some(MS(407)), None];
        assert_eq!(pauses(&[Retry::Later; 4]), expected);
        assert_eq!(pauses(&[Retry::Never]), [None]);
    }

    #[test]
    fn retries_later_if_the_collector_asks_for_it() {
        let asked = [Retry::After(MS(5000)), Retry::After(MS(1)), Retry::Later];
        assert_eq!(pauses(&asked), [Some(MS(5007)), Some(MS(10_007)), Some(MS(20_007))]);
        let hour = Retry::After(Duration::from_hours(1));
        assert_eq!(pauses(&[hour, hour]), [Some(MS(30_000)), Some(MS(30_000))]);
    }

    /// Makes attempts of which the first two fail; tells how many were made and the outcome.
    async fn attempts(limit: Duration, retry: Retry) -> (u32, bool) {
        let made = AtomicU32::new(0);
        let attempt = || async {
            match made.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Err(Failure { reason: String::new(), retry }),
                _ => Ok(Bytes::new()),
            }
        };
        let outcome = retried(limit, attempt).await;
        (made.load(Ordering::Relaxed), outcome.is_ok())
    }

    #[tokio::test]
    async fn attempts_go_on_while_there_is_time_and_hope() {
        let long = Duration::from_secs(10);
        assert_eq!(attempts(long, Retry::Later).await, (3, true));
        assert_eq!(attempts(long, Retry::Never).await, (1, false));
        assert_eq!(attempts(long, Retry::After(long)).await, (1, false));
        assert_eq!(attempts(MS(50), Retry::Later).await, (1, false));
    }
}
