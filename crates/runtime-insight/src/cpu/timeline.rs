//! Which operation each worker was polling at what time, while a profile is made: by that a sample,
//! which knows only its thread and its time, finds its operation.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use dial9::core::clock_monotonic_ns;

use crate::worker::{self, CurrentPoll};

/// Polls that are kept at most: some seconds' worth of a busy service.
const CAPACITY: usize = 1 << 20;

static IS_KEPT: AtomicBool = AtomicBool::new(false);
static ENDED: Mutex<Vec<Poll>> = Mutex::new(Vec::new());

struct Poll {
    thread: u32,
    from: u64,
    to: u64,
    group: &'static str,
}

pub(super) fn is_kept() -> bool {
    IS_KEPT.load(Ordering::Acquire)
}

pub(super) fn keep(on: bool) {
    IS_KEPT.store(on, Ordering::Release);
    ENDED.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// A poll on this thread has ended.
pub(crate) fn poll_ended(poll: &CurrentPoll) {
    if !is_kept() {
        return;
    }
    let Some(poll) = Poll::of(poll) else { return };
    let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
    if ended.len() < CAPACITY {
        ended.push(poll);
    }
}

impl Poll {
    fn of(poll: &CurrentPoll) -> Option<Self> {
        let to = clock_monotonic_ns();
        let took = u64::try_from(poll.since.elapsed().as_nanos()).ok()?;
        let group = poll.task.as_ref()?.operation()?.group;
        Some(Self { thread: poll.thread, from: to.saturating_sub(took), to, group })
    }
}

/// The polls of the time since they were taken last, by thread.
#[derive(Default)]
pub(super) struct Polls(HashMap<u32, Vec<Poll>>);

impl Polls {
    /// The root field of the operation that `thread` was polling at `time`.
    pub(super) fn find(&self, thread: u32, time: u64) -> Option<&'static str> {
        let polls = self.0.get(&thread)?;
        let poll = polls.iter().find(|poll| (poll.from..=poll.to).contains(&time))?;
        Some(poll.group)
    }
}

/// Takes the polls that have ended, with those in progress.
pub(super) fn take() -> Polls {
    let mut polls = Polls::default();
    if !is_kept() {
        return polls;
    }
    let going_on = worker::all().into_iter().filter_map(|worker| Poll::of(&worker.current()?));
    let ended = std::mem::take(&mut *ENDED.lock().unwrap_or_else(PoisonError::into_inner));
    for poll in going_on.chain(ended) {
        polls.0.entry(poll.thread).or_default().push(poll);
    }
    polls
}
