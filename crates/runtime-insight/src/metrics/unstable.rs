//! What tokio has with `--cfg tokio_unstable` only.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram, Label};
use tokio::runtime::{Builder, HistogramConfiguration, LogHistogram, RuntimeMetrics};

use super::{
    BLOCKING_IDLE, BLOCKING_THREADS, IO_FDS, IO_READY, LOCAL_SCHEDULES, NOOPS, OVERFLOWS,
    POLL_MEAN, POLL_TIME, POLLS, REMOTE_SCHEDULES, SCHEDULE_LATENCY, SPAWNED, STEAL_OPERATIONS,
    STEALS, WORKER, YIELDS, queue,
};

/// From here on tokio's histograms distinguish durations, by a factor of two each: 2^14 ns, about
/// 16 µs. The bounds of the metrics are the same, so that nothing is estimated.
const SHORTEST: Duration = Duration::from_nanos(1 << 14);
/// Up to here: 2^33 ns, about 9 s.
const LONGEST: Duration = Duration::from_nanos(1 << 33);

/// Has the runtime keep the histograms that [`Sampler`](super::Sampler) reads.
pub(crate) fn enable_histograms(builder: &mut Builder) {
    let scale =
        LogHistogram::builder().precision_exact(0).min_value(SHORTEST).max_value(LONGEST).build();
    builder
        .enable_metrics_poll_time_histogram()
        .metrics_poll_time_histogram_configuration(HistogramConfiguration::log(scale))
        .enable_metrics_schedule_latency_histogram()
        .metrics_schedule_latency_histogram_configuration(HistogramConfiguration::log(scale));
}

/// The metrics of one worker.
struct Worker {
    polls: Counter,
    poll_mean: Gauge,
    noops: Counter,
    steals: Counter,
    steal_operations: Counter,
    local_schedules: Counter,
    overflows: Counter,
}

impl Worker {
    fn new(index: usize) -> Self {
        let worker = || vec![Label::new(WORKER, index.to_string())];
        Self {
            polls: POLLS.counter(worker()),
            poll_mean: POLL_MEAN.gauge(worker()),
            noops: NOOPS.counter(worker()),
            steals: STEALS.counter(worker()),
            steal_operations: STEAL_OPERATIONS.counter(worker()),
            local_schedules: LOCAL_SCHEDULES.counter(worker()),
            overflows: OVERFLOWS.counter(worker()),
        }
    }

    fn sample(&self, runtime: &RuntimeMetrics, index: usize) {
        self.polls.absolute(runtime.worker_poll_count(index));
        self.poll_mean.set(runtime.worker_mean_poll_time(index).as_secs_f64());
        self.noops.absolute(runtime.worker_noop_count(index));
        self.steals.absolute(runtime.worker_steal_count(index));
        self.steal_operations.absolute(runtime.worker_steal_operations(index));
        self.local_schedules.absolute(runtime.worker_local_schedule_count(index));
        self.overflows.absolute(runtime.worker_overflow_count(index));
    }
}

/// See [`super::Sampler`].
pub(super) struct Sampler {
    workers: Vec<Worker>,
    spawned: Counter,
    local: Gauge,
    blocking: Gauge,
    blocking_threads: Gauge,
    blocking_idle: Gauge,
    remote_schedules: Counter,
    yields: Counter,
    io_ready: Counter,
    io_fds: Gauge,
    poll_times: Mutex<Buckets>,
    latencies: Mutex<Buckets>,
}

impl Sampler {
    pub(super) fn new(runtime: &RuntimeMetrics) -> Self {
        Self {
            workers: (0..runtime.num_workers()).map(Worker::new).collect(),
            spawned: SPAWNED.counter(Vec::new()),
            local: queue("local"),
            blocking: queue("blocking"),
            blocking_threads: BLOCKING_THREADS.gauge(Vec::new()),
            blocking_idle: BLOCKING_IDLE.gauge(Vec::new()),
            remote_schedules: REMOTE_SCHEDULES.counter(Vec::new()),
            yields: YIELDS.counter(Vec::new()),
            io_ready: IO_READY.counter(Vec::new()),
            io_fds: IO_FDS.gauge(Vec::new()),
            poll_times: Mutex::new(Buckets::new(POLL_TIME.histogram(Vec::new()))),
            latencies: Mutex::new(Buckets::new(SCHEDULE_LATENCY.histogram(Vec::new()))),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    pub(super) fn sample(&self, runtime: &RuntimeMetrics) {
        let local: usize =
            (0..self.workers.len()).map(|index| runtime.worker_local_queue_depth(index)).sum();
        self.spawned.absolute(runtime.spawned_tasks_count());
        self.local.set(local as f64);
        self.blocking.set(runtime.blocking_queue_depth() as f64);
        self.blocking_threads.set(runtime.num_blocking_threads() as f64);
        self.blocking_idle.set(runtime.num_idle_blocking_threads() as f64);
        self.remote_schedules.absolute(runtime.remote_schedule_count());
        self.yields.absolute(runtime.budget_forced_yield_count());
        self.io_ready.absolute(runtime.io_driver_ready_count());
        let registered = runtime.io_driver_fd_registered_count();
        self.io_fds
            .set(registered.saturating_sub(runtime.io_driver_fd_deregistered_count()) as f64);
        for (index, worker) in self.workers.iter().enumerate() {
            worker.sample(runtime, index);
        }
        self.sample_histograms(runtime);
    }

    fn sample_histograms(&self, runtime: &RuntimeMetrics) {
        let lock = |buckets| Mutex::lock(buckets).unwrap_or_else(PoisonError::into_inner);
        let over_workers = |count: &dyn Fn(usize) -> u64| (0..self.workers.len()).map(count).sum();
        if runtime.poll_time_histogram_enabled() {
            lock(&self.poll_times).record(
                runtime.poll_time_histogram_num_buckets(),
                |bucket| runtime.poll_time_histogram_bucket_range(bucket),
                |bucket| over_workers(&|it| runtime.poll_time_histogram_bucket_count(it, bucket)),
            );
        }
        if runtime.schedule_latency_histogram_enabled() {
            lock(&self.latencies).record(
                runtime.schedule_latency_histogram_num_buckets(),
                |bucket| runtime.schedule_latency_histogram_bucket_range(bucket),
                |bucket| {
                    over_workers(&|it| runtime.schedule_latency_histogram_bucket_count(it, bucket))
                },
            );
        }
    }
}

/// A histogram that tokio keeps, handed on bucket by bucket.
struct Buckets {
    histogram: Histogram,
    /// What was recorded of each bucket.
    recorded: Vec<u64>,
}

impl Buckets {
    const fn new(histogram: Histogram) -> Self {
        Self { histogram, recorded: Vec::new() }
    }

    /// Records what came in since the last time. A value is taken to be in the middle of its
    /// bucket: counts are exact and sums within a third.
    fn record(
        &mut self,
        buckets: usize,
        range: impl Fn(usize) -> Range<Duration>,
        count: impl Fn(usize) -> u64,
    ) {
        self.recorded.resize(buckets, 0);
        for (bucket, recorded) in self.recorded.iter_mut().enumerate() {
            let total = count(bucket);
            let new = total.saturating_sub(*recorded);
            *recorded = total;
            if new > 0 {
                let Range { start, end } = range(bucket);
                let end = end.min(start.max(SHORTEST / 2) * 2);
                let middle = (start + end).as_secs_f64() / 2.0;
                self.histogram.record_many(middle, usize::try_from(new).unwrap_or(usize::MAX));
            }
        }
    }
}
