//! Traces whose root has not ended yet.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use opentelemetry::TraceId;

use super::OperationSummary;

/// Locks, so that workers seldom meet at one.
const SHARDS: usize = 16;
/// Buffers of a shard that are kept for the next traces.
const SPARE: usize = 8;
/// A larger buffer is not kept.
const MAX_SPARE: usize = 64 << 10;
/// What a trace takes beside its spans and records.
const OVERHEAD: usize = 256;
/// The root of a trace that nothing was added to for so long has ended: these were late.
const ABANDONED: Duration = Duration::from_mins(5);

/// A trace with what has ended of it.
#[derive(Clone, Default)]
pub(super) struct Trace {
    /// Each as field 2 of `ScopeSpans`.
    pub spans: Vec<u8>,
    /// Each as field 2 of `ScopeLogs`.
    pub logs: Vec<u8>,
    pub operations: Vec<OperationSummary>,
    pub statements: u32,
    /// Whether the status of a span is ERROR.
    pub failed: bool,
}

impl Trace {
    /// Adds what has ended of the same trace.
    pub fn append(&mut self, more: &Self) {
        self.spans.extend_from_slice(&more.spans);
        self.logs.extend_from_slice(&more.logs);
        self.operations.extend_from_slice(&more.operations);
        self.statements += more.statements;
        self.failed |= more.failed;
    }

    /// What it takes while it is in progress.
    const fn bytes(&self) -> usize {
        self.spans.len() + self.logs.len() + OVERHEAD
    }
}

/// The traces in progress, by their ids.
pub(super) struct InProgress {
    shards: Box<[Mutex<Shard>]>,
    /// Bytes of a shard.
    limit: usize,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Shard {
    traces: HashMap<TraceId, Entry, RandomState>,
    bytes: usize,
    spare: Vec<Trace>,
}

struct Entry {
    trace: Trace,
    since: Instant,
}

impl InProgress {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, limit: bytes / SHARDS, dropped: AtomicU64::new(0) }
    }

    /// Adds `bytes` to a trace by `add`, if there is room for them.
    pub fn add(&self, id: TraceId, bytes: usize, add: impl FnOnce(&mut Trace)) {
        let mut shard = self.shard(id);
        let shard = &mut *shard;
        let bytes = bytes + if shard.traces.contains_key(&id) { 0 } else { OVERHEAD };
        if !shard.has_room(bytes, self.limit) {
            return self.drop_one();
        }
        shard.bytes += bytes;
        let new = || Entry { trace: shard.spare.pop().unwrap_or_default(), since: Instant::now() };
        add(&mut shard.traces.entry(id).or_insert_with(new).trace);
    }

    /// Adds to a trace of which something has ended; false if nothing has.
    pub fn add_to_known(&self, id: TraceId, bytes: usize, add: impl FnOnce(&mut Trace)) -> bool {
        let mut shard = self.shard(id);
        let shard = &mut *shard;
        let Some(entry) = shard.traces.get_mut(&id) else { return false };
        if shard.bytes + bytes > self.limit {
            self.drop_one();
        } else {
            shard.bytes += bytes;
            add(&mut entry.trace);
        }
        true
    }

    /// Removes a trace, with what has ended of it.
    pub fn take(&self, id: TraceId) -> Trace {
        let mut shard = self.shard(id);
        match shard.traces.remove(&id) {
            Some(Entry { trace, .. }) => {
                shard.bytes = shard.bytes.saturating_sub(trace.bytes());
                trace
            }
            None => shard.spare.pop().unwrap_or_default(),
        }
    }

    /// Keeps the memory of a trace for another one.
    pub fn reuse(&self, id: TraceId, trace: Trace) {
        let Trace { mut spans, mut logs, .. } = trace;
        spans.clear();
        logs.clear();
        let mut shard = self.shard(id);
        if shard.spare.len() < SPARE && spans.capacity() + logs.capacity() <= MAX_SPARE {
            shard.spare.push(Trace { spans, logs, ..Trace::default() });
        }
    }

    /// Returns how many bytes all of them have.
    pub fn bytes(&self) -> usize {
        let lock = |shard: &Mutex<Shard>| shard.lock().map_or(0, |shard| shard.bytes);
        self.shards.iter().map(lock).sum()
    }

    /// Returns how many spans and records found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn shard(&self, id: TraceId) -> MutexGuard<'_, Shard> {
        let [.., last] = id.to_bytes();
        let shard = &self.shards[usize::from(last) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Whether a new trace has room, perhaps in that of traces that were abandoned.
    fn has_room(&mut self, bytes: usize, limit: usize) -> bool {
        if self.bytes + bytes > limit {
            let mut freed = 0;
            self.traces.retain(|_, entry| {
                let is_kept = entry.since.elapsed() < ABANDONED;
                freed += if is_kept { 0 } else { entry.trace.bytes() };
                is_kept
            });
            self.bytes = self.bytes.saturating_sub(freed);
        }
        self.bytes + bytes <= limit
    }
}
