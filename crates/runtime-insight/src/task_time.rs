//! Where the time of a task went: busy, scheduled, idle. Not by `tokio_metrics::TaskMonitor`, which
//! knows no longest poll and allocates once more for each task.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{self, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use crate::worker::slow_poll;

/// Where a task's time went. The three states add up to its whole time.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskTime {
    /// How often it was polled.
    pub polls: u64,
    /// Inside a poll.
    pub busy: Duration,
    /// Woken, and waiting for a worker.
    pub scheduled: Duration,
    /// Waiting to be woken: for I/O, a timer, another task.
    pub idle: Duration,
    /// Polls that were too long.
    pub slow_polls: u64,
    /// The longest poll.
    pub longest_poll: Duration,
}

impl TaskTime {
    /// The task's whole time.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.busy + self.scheduled + self.idle
    }
}

/// Measures the time of a task whose future is `work`. `since` is when the work began that the task
/// continues; what was done of it before the task was spawned counts as busy.
pub fn timed<F: Unpin>(since: Instant, work: F) -> Timed<F> {
    let spawned = Instant::now();
    let wakes =
        Arc::new(Wakes { origin: spawned, woken: AtomicU64::new(0), waker: Mutex::default() });
    Timed {
        work,
        waker: Waker::from(wakes.clone()),
        wakes,
        time: TaskTime { busy: spawned - since, ..TaskTime::default() },
        left: spawned,
    }
}

/// See [`timed`].
pub struct Timed<F> {
    work: F,
    wakes: Arc<Wakes>,
    waker: Waker,
    time: TaskTime,
    /// When the last poll ended.
    left: Instant,
}

/// Remembers when the task was woken first since its last poll.
struct Wakes {
    origin: Instant,
    /// Nanoseconds since `origin`; [`NEVER`] if it was not woken.
    woken: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

const NEVER: u64 = u64::MAX;

impl Wakes {
    fn woken(&self) -> Option<Instant> {
        match self.woken.swap(NEVER, Ordering::AcqRel) {
            NEVER => None,
            nanos => Some(self.origin + Duration::from_nanos(nanos)),
        }
    }

    fn forward_to(&self, waker: &Waker) {
        let mut known = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *known {
            Some(known) => known.clone_from(waker),
            None => *known = Some(waker.clone()),
        }
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let now = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(NEVER - 1);
        let _ = self.woken.compare_exchange(NEVER, now, Ordering::AcqRel, Ordering::Acquire);
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }
}

impl<F: Future + Unpin> Future for Timed<F> {
    type Output = (F::Output, TaskTime);

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let began = Instant::now();
        // Woken in the middle of the last poll counts from its end. Not `clamp`, which panics where
        // a clock has gone back, as those of some virtual machines do.
        let woken = this.wakes.woken().unwrap_or(began).min(began).max(this.left);
        this.time.idle += woken - this.left;
        this.time.scheduled += began - woken;
        this.wakes.forward_to(context.waker());
        let result = Pin::new(&mut this.work).poll(&mut task::Context::from_waker(&this.waker));
        this.left = Instant::now();
        let took = this.left - began;
        this.time.polls += 1;
        this.time.busy += took;
        this.time.slow_polls += u64::from(took > slow_poll());
        this.time.longest_poll = this.time.longest_poll.max(took);
        result.map(|output| (output, this.time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn;

    #[tokio::test]
    async fn the_states_add_up_to_the_whole() {
        let since = Instant::now();
        let work = Box::pin(async {
            std::thread::sleep(Duration::from_millis(20));
            tokio::time::sleep(Duration::from_millis(30)).await;
        });
        let ((), time) = spawn("test", timed(since, work)).await.unwrap();
        let whole = since.elapsed();
        assert!(time.busy >= Duration::from_millis(20), "{time:?}");
        assert!(time.idle >= Duration::from_millis(25), "{time:?}");
        assert_eq!((time.polls, time.slow_polls), (2, 1));
        let sum = time.busy + time.scheduled + time.idle;
        assert!(sum <= whole && sum >= whole.mul_f64(0.95), "{time:?} of {whole:?}");
    }

    #[tokio::test]
    async fn survives_a_clock_that_goes_back() {
        let mut work = timed(Instant::now(), Box::pin(std::future::ready(())));
        work.left = Instant::now() + Duration::from_hours(1);
        let ((), time) = work.await;
        assert_eq!(time.polls, 1);
        assert!(time.total() < Duration::from_hours(1), "{time:?}");
    }
}
