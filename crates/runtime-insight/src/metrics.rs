//! Metrics of the runtime, through the facade `metrics`. Not by `tokio-metrics`, which reports
//! intervals: a scrape and an export have different ones, so these are totals.

#[cfg(tokio_unstable)]
mod unstable;

use metrics::{Counter, Gauge, Label};
use tokio::runtime::{Handle, RuntimeMetrics};

#[cfg(tokio_unstable)]
pub(crate) use self::unstable::enable_histograms;

use crate::catalog::Kind;

/// The attribute with the number of a worker thread.
pub const WORKER: &str = "tokio.worker";
/// The attribute with the name of a queue of the runtime: `global`, `local`, `blocking`.
pub const QUEUE: &str = "tokio.queue";

/// Buckets of what tokio measures itself, in seconds: its own, which double from 2^14 to 2^33 ns.
const HISTOGRAM: Kind = Kind::Histogram(&powers_of_two_nanoseconds());

#[expect(clippy::cast_precision_loss, reason = "powers of two")]
const fn powers_of_two_nanoseconds() -> [f64; 20] {
    let mut bounds = [0.0; 20];
    let mut power = 0;
    while power < bounds.len() {
        bounds[power] = (1_u64 << (14 + power)) as f64 / 1e9;
        power += 1;
    }
    bounds
}

crate::catalog! {
    /// The metrics of the runtime.
    pub static CATALOG;
    metrics:
    WORKERS = "tokio.workers", Kind::UpDown, "{worker}", &[],
        "Worker threads of the runtime.";
    TASKS = "tokio.tasks.alive", Kind::UpDown, "{task}", &[],
        "Tasks that have been spawned and not ended.";
    QUEUE_DEPTH = "tokio.queue.depth", Kind::UpDown, "{task}", &[QUEUE],
        "Tasks that wait in the runtime's queues: global, local (of all workers), blocking.";
    BUSY = "tokio.worker.busy.time", Kind::Sum, "s", &[WORKER],
        "Time that a worker thread was not parked.";
    POLLS = "tokio.worker.polls", Kind::Counter, "{poll}", &[WORKER],
        "Polls of tasks by a worker.";
    POLL_MEAN = "tokio.worker.poll.mean", Kind::Gauge, "s", &[WORKER],
        "Moving average of the duration of a worker's polls.";
    PARKS = "tokio.worker.parks", Kind::Counter, "{park}", &[WORKER],
        "How often a worker ran out of work.";
    NOOPS = "tokio.worker.noops", Kind::Counter, "{wakeup}", &[WORKER],
        "How often a worker woke and found nothing to do.";
    STEALS = "tokio.worker.steals", Kind::Counter, "{task}", &[WORKER],
        "Tasks that a worker took from others.";
    STEAL_OPERATIONS = "tokio.worker.steal_operations", Kind::Counter, "{operation}",
        &[WORKER],
        "How often a worker took tasks from another.";
    LOCAL_SCHEDULES = "tokio.worker.local_schedules", Kind::Counter, "{task}",
        &[WORKER],
        "Tasks that were woken on a worker and put into its own queue.";
    OVERFLOWS = "tokio.worker.overflows", Kind::Counter, "{overflow}", &[WORKER],
        "How often a worker's own queue was full.";
    SPAWNED = "tokio.tasks.spawned", Kind::Counter, "{task}", &[],
        "Tasks that were spawned.";
    REMOTE_SCHEDULES = "tokio.remote_schedules", Kind::Counter, "{task}", &[],
        "Tasks that were woken from outside the runtime.";
    BLOCKING_THREADS = "tokio.blocking.threads", Kind::UpDown, "{thread}", &[],
        "Threads for work that blocks.";
    BLOCKING_IDLE = "tokio.blocking.idle_threads", Kind::UpDown, "{thread}", &[],
        "Threads for work that blocks which have nothing to do.";
    IO_READY = "tokio.io.ready_events", Kind::Counter, "{event}", &[],
        "Sockets that became ready.";
    IO_FDS = "tokio.io.file_descriptors", Kind::UpDown, "{file_descriptor}", &[],
        "Sockets that the runtime waits for.";
    POLL_TIME = "tokio.poll.time", HISTOGRAM, "s", &[],
        "Duration of polls. Counted in tokio's own buckets; the sum is from their middles.";
    SCHEDULE_LATENCY = "tokio.schedule.latency", HISTOGRAM, "s", &[],
        "Time from a task's waking to its poll. Counted in tokio's own buckets; the sum is from \
         their middles.";
    YIELDS = "tokio.budget_forced_yields", Kind::Counter, "{yield}", &[],
        "How often a task was made to yield, having used up its budget.";
}

/// Records the metrics of a runtime at each [`sample`](Self::sample).
///
/// Without `--cfg tokio_unstable`, these are the numbers of workers and tasks, the depth of the global
/// queue, and the busy time and parks of each worker.
pub struct Sampler {
    runtime: RuntimeMetrics,
    workers: Vec<Worker>,
    count: Gauge,
    tasks: Gauge,
    global: Gauge,
    #[cfg(tokio_unstable)]
    unstable: unstable::Sampler,
}

struct Worker {
    busy: Gauge,
    parks: Counter,
}

impl Worker {
    fn new(index: usize) -> Self {
        let labels = || vec![Label::new(WORKER, index.to_string())];
        Self { busy: BUSY.gauge(labels()), parks: PARKS.counter(labels()) }
    }

    fn sample(&self, runtime: &RuntimeMetrics, index: usize) {
        self.busy.set(runtime.worker_total_busy_duration(index).as_secs_f64());
        self.parks.absolute(runtime.worker_park_count(index));
    }
}

fn queue(name: &'static str) -> Gauge {
    QUEUE_DEPTH.gauge(vec![Label::new(QUEUE, name)])
}

impl Sampler {
    /// Of the runtime that `handle` belongs to.
    #[must_use]
    pub fn new(handle: &Handle) -> Self {
        let runtime = handle.metrics();
        Self {
            workers: (0..runtime.num_workers()).map(Worker::new).collect(),
            count: WORKERS.gauge(Vec::new()),
            tasks: TASKS.gauge(Vec::new()),
            global: queue("global"),
            #[cfg(tokio_unstable)]
            unstable: unstable::Sampler::new(&runtime),
            runtime,
        }
    }

    /// Records them as they are now.
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    pub fn sample(&self) {
        let runtime = &self.runtime;
        self.count.set(runtime.num_workers() as f64);
        self.tasks.set(runtime.num_alive_tasks() as f64);
        self.global.set(runtime.global_queue_depth() as f64);
        for (index, worker) in self.workers.iter().enumerate() {
            worker.sample(runtime, index);
        }
        #[cfg(tokio_unstable)]
        self.unstable.sample(runtime);
    }
}
