//! Which of the traces that have ended are stored.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::RandomState;
use opentelemetry::TraceId;
use serde::Serialize;

use super::{OperationSummary, in_progress::Trace};

/// One trace of so many is stored whatever it is.
const SAMPLING: u64 = 100;
/// How many of the slowest operations of a root field are stored.
const SLOWEST: usize = 5;
/// What a stored trace takes beside its spans, records and operations: its entries in the map and in a
/// queue, with what these have in reserve.
const OVERHEAD: usize = 512;
/// The part of the memory that one trace may take.
const MAX_SHARE: usize = 16;

/// Why a trace is stored, the strongest reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Group {
    Error,
    SlowPoll,
    Slowest,
    Sampled,
    Latest,
}

const GROUPS: usize = 5;

/// A stored trace.
#[derive(Clone)]
pub(super) struct Stored {
    pub trace: Trace,
    /// Why it is stored when it is not among the latest any more.
    pub reason: Group,
    /// In which queue it is, and as which entry: it leaves others behind.
    group: Group,
    number: u64,
}

impl Stored {
    fn bytes(&self) -> usize {
        let Trace { spans, logs, operations, .. } = &self.trace;
        let operations: usize = operations.iter().map(OperationSummary::bytes).sum();
        spans.capacity() + logs.capacity() + operations + OVERHEAD
    }
}

/// The traces that are stored.
pub(super) struct Retained {
    limit: usize,
    bytes: usize,
    traces: HashMap<TraceId, Arc<Stored>, RandomState>,
    groups: [Queue; GROUPS],
    slowest: HashMap<&'static str, Vec<(Duration, TraceId)>, RandomState>,
    /// Of the next trace.
    number: u64,
}

/// The traces of a group, the oldest first.
#[derive(Default)]
struct Queue {
    entries: VecDeque<(TraceId, u64)>,
    bytes: usize,
}

impl Retained {
    /// Room for so many bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            traces: HashMap::default(),
            groups: Default::default(),
            slowest: HashMap::default(),
            number: 0,
        }
    }

    /// Stores a trace, and returns those for which there is no room any more.
    pub fn insert(&mut self, id: TraceId, trace: &Trace) -> Vec<Arc<Stored>> {
        let mut removed = Vec::new();
        if self.add(id, trace.spans.len() + trace.logs.len(), |stored| stored.append(trace)) {
            return removed;
        }
        // Another request of the same trace has too much of it. A client may send the same one for ever.
        removed.extend(self.remove(id));
        self.number += 1;
        let reason = self.reason(id, trace);
        let (group, number) = (Group::Latest, self.number);
        let new = Stored { trace: trace.clone(), reason, group, number };
        if new.bytes() > self.limit / MAX_SHARE {
            return removed;
        }
        self.add_bytes(group, new.bytes());
        self.traces.insert(id, Arc::new(new));
        self.push(group, id, number);
        self.make_room(&mut removed);
        removed
    }

    fn reason(&mut self, id: TraceId, trace: &Trace) -> Group {
        let operations = &trace.operations;
        // Of all of them: each is counted.
        let slowest = operations.iter().filter(|it| self.is_among_slowest(it, id)).count();
        if trace.failed || operations.iter().any(|operation| operation.error.is_some()) {
            Group::Error
        } else if operations.iter().any(OperationSummary::has_slow_polls) {
            Group::SlowPoll
        } else if slowest > 0 {
            Group::Slowest
        } else if self.number % SAMPLING == 1 {
            Group::Sampled
        } else {
            Group::Latest
        }
    }

    fn is_among_slowest(&mut self, operation: &OperationSummary, id: TraceId) -> bool {
        let Some(root_field) = operation.root_field else { return false };
        let slowest = self.slowest.entry(root_field).or_default();
        if slowest.len() < SLOWEST {
            slowest.push((operation.duration, id));
            return true;
        }
        let fastest = slowest.iter_mut().min_by_key(|(duration, _)| *duration);
        let Some(fastest) = fastest.filter(|it| it.0 < operation.duration) else { return false };
        *fastest = (operation.duration, id);
        true
    }

    fn make_room(&mut self, removed: &mut Vec<Arc<Stored>>) {
        while self.bytes > self.limit {
            let Some(largest) = (0..GROUPS).max_by_key(|group| self.groups[*group].bytes) else {
                return;
            };
            let Some((id, number)) = self.groups[largest].entries.pop_front() else { return };
            if self.is_entry(id, number, largest) {
                removed.extend(self.evict(id));
            }
        }
    }

    /// Whether an entry of a queue is of a trace that is in that queue.
    fn is_entry(&self, id: TraceId, number: u64, group: usize) -> bool {
        let trace = self.traces.get(&id);
        trace.is_some_and(|it| (it.group as usize, it.number) == (group, number))
    }

    /// Removes a trace, or moves one of the latest to the group of its reason.
    fn evict(&mut self, id: TraceId) -> Option<Arc<Stored>> {
        let stored = Arc::make_mut(self.traces.get_mut(&id)?);
        let reason = stored.reason;
        let is_kept = stored.group == Group::Latest
            && match reason {
                Group::Latest => false,
                Group::Slowest => self.slowest.values().flatten().any(|(_, slow)| *slow == id),
                _ => true,
            };
        if !is_kept {
            return self.remove(id);
        }
        stored.group = reason;
        let (bytes, number) = (stored.bytes(), stored.number);
        self.groups[Group::Latest as usize].bytes -= bytes;
        self.groups[reason as usize].bytes += bytes;
        self.push(reason, id, number);
        None
    }

    /// Adds an entry to a queue. Those that traces left behind are removed when they are the most.
    fn push(&mut self, group: Group, id: TraceId, number: u64) {
        let mut entries = mem::take(&mut self.groups[group as usize].entries);
        entries.push_back((id, number));
        if entries.len() > 2 * self.traces.len() + 16 {
            entries.retain(|(id, number)| self.is_entry(*id, *number, group as usize));
        }
        self.groups[group as usize].entries = entries;
    }

    fn remove(&mut self, id: TraceId) -> Option<Arc<Stored>> {
        let removed = self.traces.remove(&id)?;
        self.bytes -= removed.bytes();
        self.groups[removed.group as usize].bytes -= removed.bytes();
        for operation in &removed.trace.operations {
            if let Some(slowest) = operation.root_field.and_then(|it| self.slowest.get_mut(it)) {
                slowest.retain(|(_, slow)| *slow != id);
            }
        }
        Some(removed)
    }

    /// Adds `bytes` to a trace by `add`; false if it is not stored, or has no room for them.
    pub fn add(&mut self, id: TraceId, bytes: usize, add: impl FnOnce(&mut Trace)) -> bool {
        let Some(stored) = self.traces.get_mut(&id) else { return false };
        let before = stored.bytes();
        // A buffer that grows doubles.
        if 2 * (before + bytes) > self.limit / MAX_SHARE {
            return false;
        }
        let stored = Arc::make_mut(stored);
        add(&mut stored.trace);
        if stored.trace.failed {
            stored.reason = Group::Error;
        }
        let (group, after) = (stored.group, stored.bytes());
        self.add_bytes(group, after - before);
        self.make_room(&mut Vec::new());
        true
    }

    const fn add_bytes(&mut self, group: Group, bytes: usize) {
        self.bytes += bytes;
        self.groups[group as usize].bytes += bytes;
    }

    /// Whether a trace is stored.
    pub fn has(&self, id: TraceId) -> bool {
        self.traces.contains_key(&id)
    }

    /// Returns a trace.
    pub fn get(&self, id: TraceId) -> Option<Arc<Stored>> {
        self.traces.get(&id).cloned()
    }

    /// Returns all traces, in no order.
    pub fn all(&self) -> Vec<Arc<Stored>> {
        self.traces.values().cloned().collect()
    }

    /// Returns the number of traces, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.traces.len(), self.bytes)
    }
}
