//! Durations as a histogram of bounded size, for the percentiles that the admin API shows.
//!
//! Not the histograms of the metrics: their buckets are few and wide, for Prometheus, and a percentile
//! of them is an estimate.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Significant digits of a percentile: it is at most 1 % above the duration that was recorded.
const DIGITS: u8 = 2;
/// A longer duration counts as this one, but in the mean and in the maximum.
const LONGEST: Duration = Duration::from_hours(1);

/// The durations of something that happens often, such as the operations of a root field.
///
/// Resolves from 1 µs to 1 h by two significant digits. Takes 1 KiB at first, and grows with the longest
/// duration: to 5.5 KiB with 100 ms, to 13 KiB with an hour.
#[derive(Debug)]
pub(crate) struct Latencies(Mutex<State>);

#[derive(Debug)]
struct State {
    /// In microseconds. A count stays at 2^32 - 1 when it gets there.
    histogram: Histogram<u32>,
    total: Duration,
    max: Duration,
}

/// Durations in figures, all in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct LatencySummary {
    /// How many durations were recorded.
    pub count: u64,
    /// Their mean, which is exact.
    pub mean: f64,
    /// Half of them were no longer.
    pub p50: f64,
    /// 95 % of them were no longer.
    pub p95: f64,
    /// 99 % of them were no longer.
    pub p99: f64,
    /// The longest, which is exact.
    pub max: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new(DIGITS).expect("digits from 0 to 5");
        Self(Mutex::new(State { histogram, total: Duration::ZERO, max: Duration::ZERO }))
    }
}

impl Latencies {
    /// Records a duration.
    pub fn record(&self, duration: Duration) {
        let microseconds = duration.min(LONGEST).as_nanos().div_ceil(1000);
        let microseconds = u64::try_from(microseconds).unwrap_or(u64::MAX);
        let mut state = self.lock();
        // Fails only beyond what the histogram can grow to, 2^63.
        let _ = state.histogram.record(microseconds);
        state.total = state.total.saturating_add(duration);
        state.max = state.max.max(duration);
    }

    /// Returns what was recorded, in figures.
    pub fn summary(&self) -> LatencySummary {
        let state = self.lock();
        let count = state.histogram.len();
        if count == 0 {
            return LatencySummary::default();
        }
        let max = state.max.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
        let percentile = |quantile| {
            // The upper bound of its bucket, which may be above the longest duration.
            (state.histogram.value_at_quantile(quantile) as f64 / 1e6).min(max)
        };
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
        let mean = state.total.as_secs_f64() / count as f64;
        LatencySummary {
            count,
            mean,
            p50: percentile(0.5),
            p95: percentile(0.95),
            p99: percentile(0.99),
            max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_within(value: f64, expected: f64, tolerance: f64) {
        assert!((value / expected - 1.0).abs() <= tolerance, "{value} is not about {expected}");
    }

    #[test]
    fn summarizes_with_an_exact_maximum() {
        let latencies = Latencies::default();
        for milliseconds in 1..=1000 {
            latencies.record(Duration::from_millis(milliseconds));
        }
        latencies.record(Duration::from_nanos(1_234_567_891));
        let summary = latencies.summary();
        assert_eq!(summary.count, 1001);
        assert_within(summary.mean, 501.734_567_891 / 1001.0, 1e-9);
        assert_within(summary.p50, 0.501, 0.01);
        assert_within(summary.p95, 0.951, 0.01);
        assert_within(summary.p99, 0.991, 0.01);
        assert!((summary.max - 1.234_567_891).abs() < 1e-12, "{summary:?}");
    }

    #[test]
    fn summarizes_nothing_as_zeros() {
        assert_eq!(Latencies::default().summary(), LatencySummary::default());
    }

    #[test]
    fn bounds_its_memory() {
        let latencies = Latencies::default();
        let bytes = || latencies.lock().histogram.distinct_values() * size_of::<u32>();
        assert_eq!(bytes(), 1024);
        latencies.record(Duration::from_millis(100));
        assert_eq!(bytes(), 5632);
        for duration in [Duration::ZERO, LONGEST, Duration::MAX, Duration::MAX] {
            latencies.record(duration);
        }
        assert_eq!(bytes(), 13 * 1024);
        let summary = latencies.summary();
        assert_eq!(summary.count, 5);
        assert_within(summary.p50, 3600.0, 0.01);
        assert_within(summary.max, Duration::MAX.as_secs_f64(), 1e-9);
    }
}
