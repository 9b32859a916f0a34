//! Where the time of an operation's task went.

use std::{
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{self, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use metrics::{Histogram, Label};
use opentelemetry::{KeyValue, trace::SpanRef};

use super::workers::slow_poll;
use crate::telemetry::{
    names::{TASK_TIME, own},
    series::Series,
};

/// Where a task's time went. The three states add up to its whole time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Profile {
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

impl Profile {
    /// The task's whole time.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.busy + self.scheduled + self.idle
    }

    /// Tells it to an operation's span and to the metrics of its root field.
    pub fn record(&self, span: &SpanRef<'_>, root_field: &'static str) {
        static TIMES: LazyLock<Series<&'static str, Arc<[Histogram; 3]>>> = LazyLock::new(|| {
            Series::new(|root_field| {
                Arc::new(["busy", "scheduled", "idle"].map(|state| {
                    TASK_TIME.histogram(vec![
                        Label::from_static_parts(own::TASK_STATE, state),
                        Label::from_static_parts(own::ROOT_FIELD, root_field),
                    ])
                }))
            })
        });
        if span.is_recording() {
            let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            span.set_attributes([
                KeyValue::new("tokio.task.polls", count(self.polls)),
                KeyValue::new("tokio.task.busy", self.busy.as_secs_f64()),
                KeyValue::new("tokio.task.scheduled", self.scheduled.as_secs_f64()),
                KeyValue::new("tokio.task.idle", self.idle.as_secs_f64()),
                KeyValue::new("tokio.task.slow_polls", count(self.slow_polls)),
                KeyValue::new("tokio.task.longest_poll", self.longest_poll.as_secs_f64()),
            ]);
        }
        let states = TIMES.of(root_field);
        for (state, time) in states.iter().zip([self.busy, self.scheduled, self.idle]) {
            state.record(time.as_secs_f64());
        }
    }
}

/// Profiles a task. `since` is when the work began that the task goes on with; what was done of it
/// before the task was spawned counts as busy.
pub fn profiled<F: Unpin>(since: Instant, work: F) -> Profiled<F> {
    let spawned = Instant::now();
    let wakes =
        Arc::new(Wakes { origin: spawned, woken: AtomicU64::new(0), waker: Mutex::default() });
    Profiled {
        work,
        waker: Waker::from(wakes.clone()),
        wakes,
        profile: Profile { busy: spawned - since, ..Profile::default() },
        left: spawned,
    }
}

/// See [`profiled`].
pub struct Profiled<F> {
    work: F,
    wakes: Arc<Wakes>,
    waker: Waker,
    profile: Profile,
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

impl<F: Future + Unpin> Future for Profiled<F> {
    type Output = (F::Output, Profile);

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let began = Instant::now();
        // Woken in the middle of the last poll counts from its end. Not `clamp`, which panics where
        // a clock has gone back, as those of some virtual machines do.
        let woken = this.wakes.woken().unwrap_or(began).min(began).max(this.left);
        this.profile.idle += woken - this.left;
        this.profile.scheduled += began - woken;
        this.wakes.forward_to(context.waker());
        let result = Pin::new(&mut this.work).poll(&mut task::Context::from_waker(&this.waker));
        this.left = Instant::now();
        let took = this.left - began;
        this.profile.polls += 1;
        this.profile.busy += took;
        this.profile.slow_polls += u64::from(took > slow_poll());
        this.profile.longest_poll = this.profile.longest_poll.max(took);
        result.map(|output| (output, this.profile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::runtime::tasks;

    #[tokio::test]
    async fn the_states_add_up_to_the_whole() {
        let since = Instant::now();
        let work = Box::pin(async {
            std::thread::sleep(Duration::from_millis(20));
            tokio::time::sleep(Duration::from_millis(30)).await;
        });
        let ((), profile) = tasks::spawn("test", profiled(since, work)).await.unwrap();
        let whole = since.elapsed();
        assert!(profile.busy >= Duration::from_millis(20), "{profile:?}");
        assert!(profile.idle >= Duration::from_millis(25), "{profile:?}");
        assert_eq!((profile.polls, profile.slow_polls), (2, 1));
        let sum = profile.busy + profile.scheduled + profile.idle;
        assert!(sum <= whole && sum >= whole.mul_f64(0.95), "{profile:?} of {whole:?}");
    }

    #[tokio::test]
    async fn a_clock_that_goes_back_ends_no_operation() {
        let mut work = profiled(Instant::now(), Box::pin(std::future::ready(())));
        work.left = Instant::now() + Duration::from_hours(1);
        let ((), profile) = work.await;
        assert_eq!(profile.polls, 1);
        assert!(profile.total() < Duration::from_hours(1), "{profile:?}");
    }
}
