//! Which code the processors spend their time on: one sampler for profiles and for recordings.
//!
//! Samples come from perf events or, where the kernel does not allow those, from a timer of each
//! thread. Profiles know the operation that a worker was polling when it was sampled.

pub mod output;

use std::{
    collections::HashMap,
    fs, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dial9::{
    core::{Encodable, FlushContext, Source, ThreadLocalEncoder, clock_monotonic_ns},
    format::{InternedString, TraceEvent},
};
use dial9_perf_self_profile::{
    EventSource, PerfSampler, SamplerConfig, SamplingMode, register_current_thread,
    unregister_current_thread,
};
use dial9_trace_format::InternedStackFrames;

use super::workers;

/// Samples of each busy thread a second. Not a round number, so as not to keep in step with what
/// happens every hundredth of a second.
pub const FREQUENCY: u64 = 99;
/// How often samples are taken out of the sampler's buffers, which hold some seconds of them.
const DRAIN_INTERVAL: Duration = Duration::from_millis(100);

/// The process's sampler. Clones share it.
#[derive(Clone)]
pub struct Cpu(Option<Arc<Mutex<Sampling>>>);

struct Sampling {
    sampler: PerfSampler,
    names: HashMap<u32, Arc<str>>,
    /// Whoever wants samples: a recording, a profile.
    users: usize,
    /// From when on a recording wants samples, in nanoseconds of the monotonic clock.
    recording: Option<u64>,
    profile: Option<Profile>,
}

/// What was sampled in a stretch of time.
pub struct Profile {
    since: u64,
    /// CPU time by thread, operation and stack, innermost first.
    stacks: HashMap<Sampled, Weight>,
    names: HashMap<u32, Arc<str>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Sampled {
    thread: u32,
    /// The root field of the operation that was polled.
    root_field: Option<&'static str>,
    stack: Vec<u64>,
}

#[derive(Default)]
struct Weight {
    samples: u64,
    nanoseconds: u64,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Only one at a time.
    #[error("another profile is being made")]
    Busy,
    /// The operating system allows no sampling.
    #[error("this system allows no sampling of CPU time")]
    Unavailable,
}

impl Cpu {
    /// Starts the sampler, which does nothing until it is used. To be called before there are
    /// other threads: those that exist already are not sampled.
    #[must_use]
    pub fn start() -> Self {
        let config = SamplerConfig::default()
            .event_source(EventSource::SwCpuClock)
            .sampling(SamplingMode::FrequencyHz(FREQUENCY))
            .include_kernel(false);
        let Ok(sampler) = PerfSampler::start(config) else { return Self(None) };
        let sampling =
            Sampling { sampler, names: HashMap::new(), users: 0, recording: None, profile: None };
        sampling.pause();
        Self(Some(Arc::new(Mutex::new(sampling))))
    }

    /// Has recordings have samples, or no longer.
    pub fn record(&self, on: bool) {
        let Some(mut sampling) = self.lock() else { return };
        if on && sampling.recording.is_none() {
            sampling.resume();
            sampling.recording = Some(clock_monotonic_ns());
        } else if !on && sampling.recording.take().is_some() {
            sampling.release();
        }
    }

    /// Profiles the process for `time`.
    ///
    /// # Errors
    /// If there is another profile, or no sampler.
    pub async fn profile(&self, time: Duration) -> Result<Profile, ProfileError> {
        let _ends = self.begin()?;
        let until = Instant::now() + time;
        while Instant::now() < until {
            tokio::time::sleep(DRAIN_INTERVAL).await;
            if let Some(mut sampling) = self.lock() {
                sampling.drain(None);
            }
        }
        let profile = self.lock().and_then(|mut sampling| sampling.profile.take());
        profile.ok_or(ProfileError::Unavailable)
    }

    fn begin(&self) -> Result<Profiling<'_>, ProfileError> {
        let mut sampling = self.lock().ok_or(ProfileError::Unavailable)?;
        if timeline::is_kept() {
            return Err(ProfileError::Busy);
        }
        sampling.resume();
        timeline::keep(true);
        sampling.profile = Some(Profile {
            since: clock_monotonic_ns(),
            stacks: HashMap::new(),
            names: HashMap::new(),
        });
        Ok(Profiling(self))
    }

    fn lock(&self) -> Option<MutexGuard<'_, Sampling>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A profile that is being made, until it is dropped, by a client that went away or at its end.
struct Profiling<'a>(&'a Cpu);

impl Drop for Profiling<'_> {
    fn drop(&mut self) {
        timeline::keep(false);
        if let Some(mut sampling) = self.0.lock() {
            sampling.profile = None;
            sampling.release();
        }
    }
}

impl Sampling {
    fn is_perf(&self) -> bool {
        self.sampler.active_backend().as_str() == "perf"
    }

    /// Not with timers: threads that start meanwhile could not be sampled later.
    fn pause(&self) {
        if self.is_perf() {
            self.sampler.disable();
        }
    }

    fn resume(&mut self) {
        if self.users == 0 {
            // What was left over.
            self.sampler.for_each_sample(|_| {});
            self.names.clear();
            if self.is_perf() {
                self.sampler.enable();
            }
        }
        self.users += 1;
    }

    fn release(&mut self) {
        self.users -= 1;
        if self.users == 0 {
            self.pause();
        }
    }

    /// Hands on the samples that have come in. Only a recording's own thread can write into the
    /// recording: while there is one, nobody else takes samples.
    fn drain(&mut self, recording: Option<&FlushContext<'_>>) {
        if recording.is_none() && self.recording.is_some() {
            return;
        }
        let process = std::process::id();
        let Self { sampler, names, recording: since, profile, .. } = self;
        let mut polls = timeline::take();
        sampler.for_each_sample(|sample| {
            if sample.pid != process {
                return;
            }
            let name = thread_name(names, sample.tid);
            if let Some(profile) = profile
                && sample.time >= profile.since
            {
                let sampled = Sampled {
                    thread: sample.tid,
                    root_field: polls.find(sample.tid, sample.time),
                    stack: sample.callchain.clone(),
                };
                let weight = profile.stacks.entry(sampled).or_default();
                weight.samples += 1;
                weight.nanoseconds += sample.period;
                if let Some(name) = &name {
                    profile.names.insert(sample.tid, name.clone());
                }
            }
            if let (Some(context), Some(since)) = (recording, *since)
                && sample.time >= since
            {
                context.record_event(&CpuSample {
                    time: sample.time,
                    thread: sample.tid,
                    name,
                    stack: &sample.callchain,
                    cpu: sample.cpu,
                });
            }
        });
    }
}

fn thread_name(names: &mut HashMap<u32, Arc<str>>, thread: u32) -> Option<Arc<str>> {
    if let Some(name) = names.get(&thread) {
        return Some(name.clone());
    }
    let name = fs::read_to_string(format!("/proc/self/task/{thread}/comm")).ok()?;
    let name: Arc<str> = name.trim().into();
    names.insert(thread, name.clone());
    Some(name)
}

/// Gives a recording its samples.
pub struct CpuSource(pub Cpu);

impl Source for CpuSource {
    fn flush(&mut self, context: &FlushContext<'_>) {
        if let Some(mut sampling) = self.0.lock() {
            sampling.drain(Some(context));
        }
    }

    fn on_thread_start(&mut self) -> io::Result<()> {
        register_current_thread()
    }

    fn on_thread_stop(&mut self) {
        unregister_current_thread();
    }

    fn name(&self) -> &'static str {
        "cpu_profile"
    }

    fn segment_metadata(&mut self, out: &mut Vec<(String, String)>) {
        let Some(sampling) = self.0.lock() else { return };
        let backend = sampling.sampler.active_backend().as_str();
        out.push(("cpu.profile.enabled".into(), "true".into()));
        out.push(("cpu.profile.frequency_hz".into(), FREQUENCY.to_string()));
        out.push(("cpu.profile.backend".into(), backend.into()));
    }
}

/// As dial9's own source writes it (`cpu_source.rs` of dial9-perf-self-profile), which is private:
/// that one goes on sampling while nothing is recorded, and shares with nobody.
#[derive(TraceEvent)]
struct CpuSampleEvent {
    #[traceevent(timestamp)]
    timestamp_ns: u64,
    worker_id: u64,
    tid: u32,
    source: u8,
    thread_name: Option<InternedString>,
    callchain: InternedStackFrames,
    cpu: Option<u64>,
}

struct CpuSample<'a> {
    time: u64,
    thread: u32,
    name: Option<Arc<str>>,
    stack: &'a [u64],
    cpu: Option<u32>,
}

impl Encodable for CpuSample<'_> {
    fn encode(&self, encoder: &mut ThreadLocalEncoder<'_>) {
        /// The viewer finds the worker by the thread.
        const UNKNOWN_WORKER: u64 = 255;
        let thread_name = self.name.as_deref().map(|name| encoder.intern_string(name));
        let callchain = encoder.intern_stack_frames(self.stack);
        encoder.encode(&CpuSampleEvent {
            timestamp_ns: self.time,
            worker_id: UNKNOWN_WORKER,
            tid: self.thread,
            source: 0,
            thread_name,
            callchain,
            cpu: self.cpu.map(u64::from),
        });
    }
}

/// Which operation each worker was polling at what time, while a profile is made.
pub(super) mod timeline {
    use super::{AtomicBool, HashMap, Mutex, Ordering, PoisonError, clock_monotonic_ns, workers};

    static IS_KEPT: AtomicBool = AtomicBool::new(false);
    static ENDED: Mutex<Vec<Poll>> = Mutex::new(Vec::new());

    struct Poll {
        thread: u32,
        from: u64,
        to: u64,
        root_field: &'static str,
    }

    pub(super) fn is_kept() -> bool {
        IS_KEPT.load(Ordering::Acquire)
    }

    pub(super) fn keep(on: bool) {
        IS_KEPT.store(on, Ordering::Release);
        ENDED.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A poll on this thread has ended.
    pub fn ended(poll: &workers::CurrentPoll) {
        if !is_kept() {
            return;
        }
        if let Some(poll) = Poll::of(poll) {
            ENDED.lock().unwrap_or_else(PoisonError::into_inner).push(poll);
        }
    }

    impl Poll {
        fn of(poll: &workers::CurrentPoll) -> Option<Self> {
            let to = clock_monotonic_ns();
            let took = u64::try_from(poll.since.elapsed().as_nanos()).ok()?;
            let root_field = poll.task.as_ref()?.operation()?.root_field;
            Some(Self { thread: poll.thread, from: to.saturating_sub(took), to, root_field })
        }
    }

    /// The polls of the time since they were taken last, by thread.
    #[derive(Default)]
    pub(super) struct Polls(HashMap<u32, Vec<Poll>>);

    impl Polls {
        /// The root field of the operation that `thread` was polling at `time`.
        pub(super) fn find(&mut self, thread: u32, time: u64) -> Option<&'static str> {
            let polls = self.0.get(&thread)?;
            let poll = polls.iter().find(|poll| (poll.from..=poll.to).contains(&time))?;
            Some(poll.root_field)
        }
    }

    /// Takes the polls that have ended, with those that go on.
    pub(super) fn take() -> Polls {
        let mut polls = Polls::default();
        if !is_kept() {
            return polls;
        }
        let going_on = workers::all().iter().filter_map(|worker| Poll::of(&worker.current()?));
        let ended = std::mem::take(&mut *ENDED.lock().unwrap_or_else(PoisonError::into_inner));
        for poll in going_on.chain(ended) {
            polls.0.entry(poll.thread).or_default().push(poll);
        }
        polls
    }
}
