//! The flight recorder: dial9's recording of every poll, wake and park of the runtime, with samples of
//! the CPU, for dial9's own viewer. Applications add events of their own by
//! `dial9::Dial9Handle::current().record_event_with`.
//!
//! dial9 hands over sealed segments, one after the other. They are kept here up to a size, and a
//! recording is those of its time in one file. It is always the same way, whether recording goes
//! at all times or on demand.

use std::{
    collections::VecDeque,
    io, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use bytes::Bytes;
use dial9::{
    Dial9Handle, Dial9HandleTokioExt, MemoryBuffer, Recorder, RecorderPipelineExt,
    TokioAttachOptions, TokioHooks,
    core::{
        clock_monotonic_ns,
        pipeline::{ProcessError, SegmentData, SegmentProcessor},
    },
    format::TraceEvent,
};
use dial9_perf_self_profile::{offline_symbolize::symbolize_trace_with_maps, read_proc_maps};
use tokio::{
    runtime::{self, Runtime},
    sync::{TryLockError, watch},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use tracing::info;

use crate::cpu::{CpuProfiler, output::gzip, source::CpuSource};

/// How often dial9 seals a segment.
const ROTATION: Duration = Duration::from_millis(250);
/// Bytes of a segment at most, and how many of them may wait to be handed over.
const SEGMENT: u64 = 1 << 20;
const WAITING: u64 = 8;
/// How long the recorder may take to seal what was recorded.
const SEAL_LIMIT: Duration = Duration::from_secs(5);
/// The segments after a moment that have all of what happened before it: one that was being
/// sealed, one with the buffers of the workers, one with that of dial9's own thread.
const FLUSH_SEGMENTS: u64 = 3;

/// Records the runtime that it is given to by [`Builder::recorder`](crate::Builder::recorder). Clones
/// share it.
#[derive(Clone)]
pub struct FlightRecorder(Arc<Shared>);

struct Shared {
    recorder: Recorder,
    cpu: CpuProfiler,
    is_always_on: bool,
    kept: Arc<Mutex<SegmentBuffer>>,
    /// The number of segments that were sealed.
    sealed: watch::Receiver<u64>,
    busy: tokio::sync::Mutex<()>,
}

/// The segments that are kept, oldest first.
#[derive(Default)]
struct SegmentBuffer {
    segments: VecDeque<(u64, Bytes)>,
    bytes: usize,
}

/// A recording, as a file for dial9's viewer.
pub struct Recording {
    /// Compressed.
    pub file: Vec<u8>,
}

/// The reason why there is no recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Only one at a time.
    #[error("another recording is being made")]
    Busy,
    /// There is no past to take a snapshot of.
    #[error("nothing was recorded: the flight recorder is not always on")]
    NotAlwaysOn,
    /// The recorder's threads gave nothing in time.
    #[error("the recorder gave nothing within {SEAL_LIMIT:?}")]
    Silent,
    /// The file could not be made.
    #[error("the recording cannot be made into a file: {0}")]
    File(#[from] io::Error),
}

impl FlightRecorder {
    /// Starts a recorder that keeps `size` MiB at most, the end of longer recordings. It records `always`,
    /// or on demand only. Call it before there are other threads: those are not sampled.
    ///
    /// # Errors
    /// If the recorder's threads cannot be started.
    pub fn start(always: bool, size: u16) -> io::Result<Self> {
        let cpu = CpuProfiler::start();
        let kept = Arc::<Mutex<SegmentBuffer>>::default();
        let (sender, sealed) = watch::channel(0);
        let keep = BufferSegments {
            kept: kept.clone(),
            capacity: usize::from(size) << 20,
            sealed: sender,
        };
        let writer = MemoryBuffer::builder()
            .max_total_size(SEGMENT * WAITING)
            .max_segment_size(SEGMENT)
            .rotation_period(ROTATION)
            .build()?;
        let recorder = dial9::recorder(writer)
            .source(CpuSource(cpu.clone()))
            .with_custom_pipeline(|pipeline| pipeline.pipe(keep))
            .paused()
            .build();
        if always {
            recorder.enable();
            cpu.record(true);
        }
        let busy = tokio::sync::Mutex::default();
        Ok(Self(Arc::new(Shared { recorder, cpu, is_always_on: always, kept, sealed, busy })))
    }

    pub(crate) fn attach(&self, tokio: runtime::Builder) -> io::Result<Runtime> {
        #[cfg_attr(not(tokio_unstable), expect(unused_mut, reason = "without hooks"))]
        let mut hooks = TokioHooks::default();
        #[cfg(tokio_unstable)]
        {
            hooks.on_before_task_poll(|task| crate::hooks::before_poll(Some(task.spawned_at())));
            hooks.on_after_task_poll(|_| crate::hooks::after_poll());
        }
        let options = TokioAttachOptions::builder()
            .runtime_name("service")
            .task_tracking_enabled(true)
            .tokio_hooks(hooks)
            .build();
        self.0.recorder.handle().attach_tokio_runtime(tokio, options)
    }

    /// The sampler of the CPU.
    #[must_use]
    pub fn cpu(&self) -> &CpuProfiler {
        &self.0.cpu
    }

    /// Records for `time`, and some tenths of a second around it. Dropping the future ends the
    /// recording.
    ///
    /// # Errors
    /// [`RecordError::Busy`] during another recording, and [`RecordError::Silent`].
    pub async fn record(&self, time: Duration) -> Result<Recording, RecordError> {
        let _one = self.0.busy.try_lock().map_err(|_: TryLockError| RecordError::Busy)?;
        let mut from = *self.0.sealed.borrow();
        let stops = (!self.0.is_always_on).then(|| OnDemand::start(&self.0));
        if stops.is_some() {
            // What was left over from the last recording.
            from = self.sealed_behind_now().await?;
        }
        let duration = time.as_secs_f64();
        info!(name: "recording.started", { recording.duration = duration }, "recording the runtime");
        sleep(time).await;
        self.sealed_behind_now().await?;
        let segments = self.0.kept().since(from);
        drop(stops);
        file(segments).await
    }

    /// Returns what is kept of the time up to now. Recording continues.
    ///
    /// # Errors
    /// [`RecordError::NotAlwaysOn`] if it does not record all the time, and [`RecordError::Silent`].
    pub async fn snapshot(&self) -> Result<Recording, RecordError> {
        if !self.0.is_always_on {
            return Err(RecordError::NotAlwaysOn);
        }
        self.sealed_behind_now().await?;
        let segments = self.0.kept().since(0);
        file(segments).await
    }

    /// Waits until everything that happened before now is in a sealed segment. Returns the number of the
    /// last one.
    async fn sealed_behind_now(&self) -> Result<u64, RecordError> {
        let mut sealed = self.0.sealed.clone();
        let target = *sealed.borrow() + FLUSH_SEGMENTS;
        let wait = async {
            while *sealed.borrow_and_update() < target {
                force_flush(self.0.recorder.handle());
                // In vain if nothing came: once more.
                let _ = timeout(ROTATION, sealed.changed()).await;
            }
        };
        timeout(SEAL_LIMIT, wait).await.map_err(|_| RecordError::Silent)?;
        Ok(target)
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, SegmentBuffer> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SegmentBuffer {
    fn since(&self, number: u64) -> Vec<Bytes> {
        let wanted = self.segments.iter().filter(|(its, _)| *its > number);
        wanted.map(|(_, segment)| segment.clone()).collect()
    }
}

/// A recording on demand, until it is dropped.
struct OnDemand<'a>(&'a Shared);

impl<'a> OnDemand<'a> {
    fn start(shared: &'a Shared) -> Self {
        shared.recorder.enable();
        shared.cpu.record(true);
        Self(shared)
    }
}

impl Drop for OnDemand<'_> {
    fn drop(&mut self) {
        self.0.recorder.handle().disable();
        self.0.cpu.record(false);
        *self.0.kept() = SegmentBuffer::default();
    }
}

/// Keeps sealed segments up to a size.
struct BufferSegments {
    kept: Arc<Mutex<SegmentBuffer>>,
    capacity: usize,
    sealed: watch::Sender<u64>,
}

type Processed<'a> = Pin<Box<dyn Future<Output = Result<SegmentData, ProcessError>> + Send + 'a>>;

impl SegmentProcessor for BufferSegments {
    fn name(&self) -> &'static str {
        "keep"
    }

    fn process(&mut self, mut data: SegmentData) -> Processed<'_> {
        let segment = data.take_payload().into_bytes();
        data.adjust_accounting();
        let number = *self.sealed.borrow() + 1;
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.bytes += segment.len();
            kept.segments.push_back((number, segment));
            while kept.bytes > self.capacity
                && let Some((_, oldest)) = kept.segments.pop_front()
            {
                kept.bytes -= oldest.len();
            }
        }
        self.sealed.send_replace(number);
        Box::pin(std::future::ready(Ok(data)))
    }
}

/// A recorder to which nothing happens seals nothing. The buffer of a thread that ends is handed
/// on at once.
fn force_flush(recorder: &Dial9Handle) {
    #[derive(TraceEvent)]
    struct Flush {
        #[traceevent(timestamp)]
        timestamp_ns: u64,
    }
    let recorder = recorder.clone();
    let force_flush = move || recorder.record_event(Flush { timestamp_ns: clock_monotonic_ns() });
    // Without a thread it only takes longer.
    let _ = thread::Builder::new().name("recorder flush".to_owned()).spawn(force_flush);
}

/// The segments as they are, behind them the names of the functions that were sampled.
async fn file(segments: Vec<Bytes>) -> Result<Recording, RecordError> {
    let work = move || {
        let mut raw: Vec<u8> = segments.concat();
        let mut names = Vec::new();
        // Without names the addresses remain.
        if symbolize_trace_with_maps(&raw, &read_proc_maps(), &mut names).is_ok() {
            raw.append(&mut names);
        }
        gzip(&mem::take(&mut raw))
    };
    let file = spawn_blocking(work).await.map_err(io::Error::other)??;
    Ok(Recording { file })
}
