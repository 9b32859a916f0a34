//! The workers and queues of the runtime.

use std::time::{Duration, Instant};

use runtime_insight::worker;
use tokio::runtime::RuntimeMetrics;

use super::Source;

/// The workers and queues of a runtime.
pub struct Runtime {
    metrics: RuntimeMetrics,
    /// The busy time of each worker that was accounted for.
    busy: Vec<Duration>,
}

impl Runtime {
    pub fn new(metrics: RuntimeMetrics) -> Self {
        let busy = (0..metrics.num_workers()).map(|it| metrics.worker_total_busy_duration(it));
        Self { busy: busy.collect(), metrics }
    }

    /// Returns the busy time of each worker so far, with that of the poll in progress: tokio adds a poll
    /// when it has ended, so that a worker which is blocked for seconds would seem to be idle.
    fn busy_times(&self) -> Vec<Duration> {
        let workers = 0..self.metrics.num_workers();
        let mut times: Vec<_> =
            workers.map(|it| self.metrics.worker_total_busy_duration(it)).collect();
        let now = Instant::now();
        for poll in worker::all().iter().filter_map(|worker| worker.current()) {
            if let Some(time) = times.get_mut(poll.worker) {
                *time += now.saturating_duration_since(poll.since);
            }
        }
        times
    }

    #[cfg(tokio_unstable)]
    fn local_and_blocking(&self) -> [usize; 2] {
        let workers = 0..self.metrics.num_workers();
        let local = workers.map(|worker| self.metrics.worker_local_queue_depth(worker)).sum();
        [local, self.metrics.blocking_queue_depth()]
    }
}

impl Source for Runtime {
    fn names(&self) -> Vec<String> {
        let workers = (0..self.busy.len()).map(|worker| format!("worker.{worker}.busy"));
        let others = ["tasks", "queue.global", "queue.local", "queue.blocking"];
        workers.chain(others.map(str::to_owned)).collect()
    }

    fn sample(&mut self, seconds: f64, values: &mut Vec<f32>) {
        let times = self.busy_times();
        for (time, accounted) in times.into_iter().zip(&mut self.busy) {
            values.push(share(time.saturating_sub(*accounted), seconds));
            // A poll that has just ended may be in neither of the two: it counts later.
            *accounted = time.max(*accounted);
        }
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^24")]
        let count = |number: usize| number as f32;
        values.push(count(self.metrics.num_alive_tasks()));
        values.push(count(self.metrics.global_queue_depth()));
        #[cfg(tokio_unstable)]
        values.extend(self.local_and_blocking().map(count));
        #[cfg(not(tokio_unstable))]
        values.extend([f32::NAN; 2]);
    }
}

/// The share of the time that passed, to four digits.
#[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
fn share(busy: Duration, seconds: f64) -> f32 {
    let share = (busy.as_secs_f64() / seconds).clamp(0.0, 1.0);
    ((share * 1e4).round() / 1e4) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_shares_and_limits_them() {
        let share = |milliseconds| share(Duration::from_millis(milliseconds), 2.0).to_string();
        assert_eq!([share(0), share(333), share(2001)], ["0", "0.1665", "1"]);
    }
}
