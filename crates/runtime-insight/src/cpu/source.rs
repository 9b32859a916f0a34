//! The samples of a recording.

use std::{io, sync::Arc};

use dial9::{
    core::{Encodable, FlushContext, Source, ThreadLocalEncoder},
    format::{InternedString, TraceEvent},
};
use dial9_perf_self_profile::{register_current_thread, unregister_current_thread};
use dial9_trace_format::InternedStackFrames;

use super::{CpuProfiler, FREQUENCY};

/// Gives a recording its samples.
pub struct CpuSource(pub CpuProfiler);

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
/// that one samples while nothing is recorded, too, and cannot be shared.
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

/// A sample on its way into a recording.
pub(super) struct CpuSample<'a> {
    pub time: u64,
    pub thread: u32,
    pub name: Option<Arc<str>>,
    pub stack: &'a [u64],
    pub cpu: Option<u32>,
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
