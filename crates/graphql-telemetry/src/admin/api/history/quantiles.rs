//! How long polls took since the last sample, and how long tasks waited for them.

use tokio::runtime::RuntimeMetrics;

use super::Source;

/// The median and the 99th percentile of a histogram that tokio keeps, of what came in since the last
/// sample. Within a bucket, of which each is twice as wide as the one before, values are taken to be spread
/// evenly.
pub struct Quantiles {
    name: &'static str,
    buckets: Vec<Bucket>,
    #[cfg(tokio_unstable)]
    metrics: RuntimeMetrics,
    /// Of a worker and a bucket.
    #[cfg(tokio_unstable)]
    count: fn(&RuntimeMetrics, usize, usize) -> u64,
}

/// A bucket of the histogram.
#[derive(Clone, Debug)]
struct Bucket {
    /// From where to where, in seconds. The last one has no end, so that its start stands for its values.
    range: (f64, f64),
    /// All that ever came in.
    total: u64,
    /// What came in since the last sample.
    new: u64,
}

#[cfg(not(tokio_unstable))]
impl Quantiles {
    pub fn poll_times(_: RuntimeMetrics) -> Self {
        Self { name: "poll", buckets: Vec::new() }
    }

    pub fn schedule_latencies(_: RuntimeMetrics) -> Self {
        Self { name: "schedule", buckets: Vec::new() }
    }

    fn update(&mut self) {}
}

#[cfg(tokio_unstable)]
impl Quantiles {
    /// The durations of polls.
    pub fn poll_times(metrics: RuntimeMetrics) -> Self {
        let is_enabled = metrics.poll_time_histogram_enabled();
        let count = if is_enabled { metrics.poll_time_histogram_num_buckets() } else { 0 };
        let ranges = (0..count).map(|it| metrics.poll_time_histogram_bucket_range(it));
        let buckets = ranges.map(Bucket::new).collect();
        Self::new("poll", buckets, metrics, RuntimeMetrics::poll_time_histogram_bucket_count)
    }

    /// The time from the waking of tasks to their polls.
    pub fn schedule_latencies(metrics: RuntimeMetrics) -> Self {
        let is_enabled = metrics.schedule_latency_histogram_enabled();
        let count = if is_enabled { metrics.schedule_latency_histogram_num_buckets() } else { 0 };
        let ranges = (0..count).map(|it| metrics.schedule_latency_histogram_bucket_range(it));
        let buckets = ranges.map(Bucket::new).collect();
        let count = RuntimeMetrics::schedule_latency_histogram_bucket_count;
        Self::new("schedule", buckets, metrics, count)
    }

    fn new(
        name: &'static str,
        buckets: Vec<Bucket>,
        metrics: RuntimeMetrics,
        count: fn(&RuntimeMetrics, usize, usize) -> u64,
    ) -> Self {
        let mut quantiles = Self { name, buckets, metrics, count };
        quantiles.update();
        quantiles
    }

    fn update(&mut self) {
        let workers = self.metrics.num_workers();
        for (index, bucket) in self.buckets.iter_mut().enumerate() {
            let counts = (0..workers).map(|worker| (self.count)(&self.metrics, worker, index));
            bucket.update(counts.sum());
        }
    }
}

impl Source for Quantiles {
    fn names(&self) -> Vec<String> {
        vec![format!("{}.p50", self.name), format!("{}.p99", self.name)]
    }

    fn sample(&mut self, _: f64, values: &mut Vec<f32>) {
        self.update();
        values.extend([0.5, 0.99].map(|quantile| value_at(&self.buckets, quantile)));
    }
}

impl Bucket {
    #[cfg(tokio_unstable)]
    fn new(range: std::ops::Range<std::time::Duration>) -> Self {
        let is_last = range.end.as_nanos() >= u128::from(u64::MAX);
        let end = if is_last { range.start } else { range.end };
        Self { range: (range.start.as_secs_f64(), end.as_secs_f64()), total: 0, new: 0 }
    }

    #[cfg_attr(not(tokio_unstable), expect(dead_code, reason = "tokio has no histograms"))]
    fn update(&mut self, total: u64) {
        self.new = total.saturating_sub(self.total);
        self.total = total;
    }
}

/// The value that so many of the new ones are not above; NaN if there are none.
#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
#[expect(clippy::cast_possible_truncation, reason = "seconds, to seven digits")]
fn value_at(buckets: &[Bucket], quantile: f64) -> f32 {
    let count: u64 = buckets.iter().map(|bucket| bucket.new).sum();
    let mut rank = quantile * count as f64;
    for bucket in buckets.iter().filter(|bucket| bucket.new > 0) {
        let new = bucket.new as f64;
        if rank <= new {
            let (start, end) = bucket.range;
            return (start + (end - start) * rank / new) as f32;
        }
        rank -= new;
    }
    f32::NAN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(counts: [u64; 3]) -> Vec<Bucket> {
        let ranges = [(0.0, 0.016), (0.016, 0.032), (0.032, 0.032)];
        let bucket = |(range, new)| Bucket { range, total: new, new };
        ranges.into_iter().zip(counts).map(bucket).collect()
    }

    #[test]
    fn interpolates_within_buckets() {
        assert!(value_at(&buckets([0, 0, 0]), 0.5).is_nan());
        let buckets = buckets([50, 49, 1]);
        for (quantile, expected) in [(0.25, 0.008), (0.5, 0.016), (0.99, 0.032), (1.0, 0.032)] {
            let value = value_at(&buckets, quantile);
            assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
        }
    }

    #[cfg(tokio_unstable)]
    #[test]
    fn measures_polls_since_the_last_sample() {
        let runtime = runtime_insight::Builder::new().build().unwrap();
        let mut quantiles = Quantiles::poll_times(runtime.metrics());
        let mut sample = || {
            let mut values = Vec::new();
            quantiles.sample(1.0, &mut values);
            values
        };
        let block = async { std::thread::sleep(std::time::Duration::from_millis(40)) };
        runtime.block_on(async { runtime_insight::spawn("blocks", block).await.unwrap() });
        // The worker hands its counts over when it parks.
        std::thread::sleep(std::time::Duration::from_millis(100));
        let p99 = sample()[1];
        assert!((0.03..0.07).contains(&p99), "{p99}");
        assert!(sample()[1].is_nan(), "nothing was polled meanwhile");
    }
}
