//! Which code the processors spend their time on: one sampler for profiles and for recordings.
//!
//! Samples come from perf events or, where the kernel does not allow those, from a timer of each
//! thread. Profiles know the operation that a worker was polling when it was sampled.

pub(crate) mod output;
mod pprof;
pub(crate) mod source;
mod stacks;
pub(crate) mod timeline;

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dial9::core::{FlushContext, clock_monotonic_ns};
use dial9_perf_self_profile::{EventSource, PerfSampler, SamplerConfig, SamplingMode};
use tracing::info;

use self::source::CpuSample;
pub use self::{
    output::SymbolizedProfile,
    stacks::{Stack, Stacks},
};

/// Samples of each busy thread a second. Not a round number, so as not to keep in step with what
/// happens every hundredth of a second.
pub const FREQUENCY: u64 = 99;
/// How often samples are taken out of the sampler's buffers, which hold some seconds of them.
const DRAIN_INTERVAL: Duration = Duration::from_millis(100);

/// The process's sampler. Clones share it.
#[derive(Clone)]
pub struct CpuProfiler(Option<Arc<Mutex<Sampling>>>);

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
    /// The group of the operation that was polled.
    group: Option<&'static str>,
    stack: Vec<u64>,
}

#[derive(Default)]
struct Weight {
    samples: u64,
    nanoseconds: u64,
}

/// The reason why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Only one at a time.
    #[error("another profile is being made")]
    Busy,
    /// The operating system allows no sampling.
    #[error("this system allows no sampling of CPU time")]
    Unavailable,
}

impl CpuProfiler {
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
    pub(crate) fn record(&self, on: bool) {
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
        let duration = time.as_secs_f64();
        info!(name: "profile.started", { profile.duration = duration }, "profiling the CPU");
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
struct Profiling<'a>(&'a CpuProfiler);

impl Drop for Profiling<'_> {
    fn drop(&mut self) {
        let Some(mut sampling) = self.0.lock() else { return };
        sampling.profile = None;
        sampling.release();
        // Under the lock, and last: from here on another profile may begin.
        timeline::keep(false);
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
    /// recording: during one, profiles take no samples themselves.
    fn drain(&mut self, recording: Option<&FlushContext<'_>>) {
        if recording.is_none() && self.recording.is_some() {
            return;
        }
        let process = std::process::id();
        let Self { sampler, names, recording: since, profile, .. } = self;
        let polls = timeline::take();
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
                    group: polls.find(sample.tid, sample.time),
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

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Another profile may begin only when this one has ended: else its end would end that one.
    #[test]
    fn completes_a_profile_when_another_ends() {
        let cpu = CpuProfiler::start();
        let profiling = cpu.begin().unwrap_or_else(|error| panic!("{error}"));
        assert!(matches!(cpu.begin(), Err(ProfileError::Busy)));
        thread::scope(|scope| {
            let sampling = cpu.lock().unwrap();
            let end = scope.spawn(move || drop(profiling));
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(100) {
                assert!(timeline::is_kept(), "it has not ended");
                thread::yield_now();
            }
            drop(sampling);
            end.join().unwrap();
        });
        assert!(!timeline::is_kept());
        drop(cpu.begin().unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(cpu.lock().unwrap().users, 0);
    }
}
