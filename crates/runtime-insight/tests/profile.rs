//! CPU profiles and recordings of a program that is busy.

#![cfg(all(target_os = "linux", tokio_unstable, feature = "flight-recorder"))]

use std::{
    hint::black_box,
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flate2::read::GzDecoder;
use opentelemetry::trace::SpanContext;
use runtime_insight::{
    Builder, Operation,
    cpu::ProfileError,
    recorder::{FlightRecorder, RecordError},
    spawn_operation,
};

const TIME: Duration = Duration::from_millis(800);

/// Busy until `stop` is set.
async fn compute(stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        black_box((0..10_000_u64).map(black_box).sum::<u64>());
        tokio::task::yield_now().await;
    }
}

fn decompressed(file: &[u8]) -> String {
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).expect("it is compressed");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn profiles_and_records_what_a_worker_does() {
    let recorder = FlightRecorder::start(false, 16).unwrap();
    let runtime = Builder::new()
        .source_root(env!("CARGO_MANIFEST_DIR"))
        .recorder(&recorder)
        .configure(|tokio| _ = tokio.worker_threads(2))
        .build()
        .unwrap();
    let stop = Arc::<AtomicBool>::default();
    runtime.block_on(async {
        let span = SpanContext::NONE;
        let operation = Operation { name: "GET /report", group: "/report", span };
        let busy = spawn_operation(operation, compute(stop.clone()));
        let (profile, second) =
            tokio::join!(recorder.cpu().profile(TIME), recorder.cpu().profile(TIME));
        assert!(matches!(second, Err(ProfileError::Busy)));
        let profile = profile.unwrap().symbolize();
        let picture = String::from_utf8(profile.flame_graph().unwrap()).unwrap();
        for part in ["/report", "compute"] {
            assert!(picture.contains(part), "no {part} in the flame graph");
        }
        let pprof = decompressed(&profile.pprof(TIME, "http.route").unwrap());
        for part in ["/report", "http.route", "compute", "tests/profile.rs"] {
            assert!(pprof.contains(part), "no {part} in the profile");
        }
        assert!(matches!(recorder.snapshot().await, Err(RecordError::NotAlwaysOn)));
        let recording = recorder.record(TIME).await.unwrap();
        assert!(decompressed(&recording.file).contains("PollStart"));
        stop.store(true, Ordering::Relaxed);
        busy.await.unwrap();
    });
}
