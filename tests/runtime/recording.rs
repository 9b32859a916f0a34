//! The flight recorder: `/debug/recording`, read by dial9's own analysis.

use std::{
    collections::BTreeSet,
    io::Write,
    time::{Duration, Instant},
};

use dial9::{
    analysis::{TraceReader, analysis_events::Dial9Event},
    format::types::FieldValue,
};
use reqwest::Response;
use serde_json::json;
use tempfile::NamedTempFile;
use testing::{Db, PATIENCE, Service};

use crate::{lab, lab_with, told};

/// The content of a recording.
#[derive(Debug, Default)]
struct Told {
    /// The traces of the operations by their names.
    operations: BTreeSet<(String, String)>,
    /// Tasks of operations.
    tasks: BTreeSet<u64>,
    /// Tasks that were polled.
    polled: BTreeSet<u64>,
    wakes: usize,
    parks: usize,
    samples: usize,
    functions: BTreeSet<String>,
}

async fn read(response: Response) -> Told {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/gzip");
    let disposition = response.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(disposition.starts_with("attachment; filename=\"colophon-"), "{disposition}");
    let mut file = NamedTempFile::with_suffix(".gz").unwrap();
    file.write_all(&response.bytes().await.unwrap()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || events(&path)).await.unwrap()
}

fn events(path: &str) -> Told {
    let text = |value: Option<&FieldValue>| match value {
        Some(FieldValue::String(text)) => text.clone(),
        other => panic!("no text: {other:?}"),
    };
    let mut told = Told::default();
    for event in &TraceReader::new(path).unwrap().all_events {
        match event {
            Dial9Event::PollStartEvent(poll) => _ = told.polled.insert(poll.task_id),
            Dial9Event::WakeEvent(_) => told.wakes += 1,
            Dial9Event::WorkerParkEvent(_) => told.parks += 1,
            Dial9Event::CpuSampleEvent(sample) if !sample.callchain.is_empty() => told.samples += 1,
            Dial9Event::Custom(event) if event.name == "GraphqlOperation" => {
                let field = |name: &str| text(event.fields.get(name));
                told.operations.insert((field("name"), field("trace_id")));
                if let Some(FieldValue::Varint(task)) = event.fields.get("task_id") {
                    told.tasks.insert(*task);
                }
            }
            Dial9Event::Custom(event) if event.name == "SymbolTableEntry" => {
                told.functions.insert(text(event.fields.get("symbol_name")));
            }
            _ => {}
        }
    }
    told
}

async fn record(service: &Service, seconds: u32) -> Response {
    let url = format!("{}/debug/recording?seconds={seconds}", service.admin);
    service.client.post(url).send().await.unwrap()
}

/// Runs a few operations and returns their names and traces.
async fn operations(service: &Service) -> BTreeSet<(String, String)> {
    let mut traces = BTreeSet::new();
    for (name, document) in [
        ("query Query.labSpin", "{ labSpin(ms: 300) }"),
        ("query Query.labSleep", "{ labSleep(ms: 50) }"),
        ("query Query.books", "{ books { nodes { authors { name } } } }"),
    ] {
        let (trace, answer) = service.traced(document, json!({})).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        traces.insert((name.to_owned(), trace));
    }
    traces
}

#[tokio::test(flavor = "multi_thread")]
async fn records_operations() {
    let service = lab(&Db::sqlite()).await;
    let before = operations(&service).await;
    for number in 1..=2 {
        let work = async {
            told(&service, "recording.started", number).await;
            operations(&service).await
        };
        let (response, during) = tokio::join!(record(&service, 3), work);
        let told = read(response).await;
        assert_eq!(told.operations, during, "and none of {before:?}, nor of an earlier recording");
        assert!(told.polled.len() > 3 && told.wakes > 0 && told.parks > 0, "{told:?}");
        assert_eq!(told.tasks.len(), 3);
        assert!(told.tasks.is_subset(&told.polled), "{told:?}");
        assert!(told.samples > 0, "{told:?}");
        assert!(told.functions.iter().any(|name| name.ends_with("spin")), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_past_minutes_of_a_continuous_recording() {
    let service = lab_with(&Db::sqlite(), &[("COLOPHON_FLIGHT_RECORDER", "1")]).await;
    let look_back = || service.client.get(format!("{}/debug/recording", service.admin)).send();
    let first = operations(&service).await;
    let told = read(look_back().await.unwrap()).await;
    assert!(told.operations.is_superset(&first), "{told:?}");
    let second = operations(&service).await;
    let told = read(look_back().await.unwrap()).await;
    assert!(told.operations.is_superset(&first) && told.operations.is_superset(&second));
    // A stretch of it.
    let (response, during) = tokio::join!(record(&service, 1), operations(&service));
    assert!(read(response).await.operations.is_superset(&during));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_recording_takes_is_limited() {
    let variables = [("COLOPHON_FLIGHT_RECORDER", "1"), ("COLOPHON_RECORDING_SIZE", "4")];
    let service = lab_with(&Db::sqlite(), &variables).await;
    let started = Instant::now();
    let mut last = String::new();
    while started.elapsed() < Duration::from_secs(5) {
        let all = (0..50).map(|_| service.traced("{ books { nodes { title } } }", json!({})));
        last = futures_util::future::join_all(all).await.pop().unwrap().0;
    }
    let response = service.client.get(format!("{}/debug/recording", service.admin)).send().await;
    let file = response.unwrap().bytes().await.unwrap();
    let mut raw = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&file[..]), &mut raw).unwrap();
    assert!(raw.len() < 6 << 20, "{} bytes", raw.len());
    assert!(raw.windows(32).any(|window| window == last.as_bytes()), "the end is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_recording_at_a_time_and_none_of_nonsense() {
    let service = lab(&Db::sqlite()).await;
    let (first, second) = tokio::join!(record(&service, 1), async {
        told(&service, "recording.started", 1).await;
        record(&service, 1).await
    });
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 409));
    assert!(second.text().await.unwrap().contains("another recording"));
    for wrong in ["0", "301", "-1", "ten", ""] {
        let url = format!("{}/debug/recording?seconds={wrong}", service.admin);
        let response = service.client.post(url).send().await.unwrap();
        assert_eq!(response.status(), 400, "{wrong}");
        assert!(response.text().await.unwrap().contains("from 1 to 300"));
    }
    let response = service.client.get(format!("{}/debug/recording", service.admin)).send().await;
    let response = response.unwrap();
    assert_eq!(response.status(), 409);
    assert!(response.text().await.unwrap().contains("--flight-recorder"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_a_recording_whose_client_disconnects() {
    let service = lab(&Db::sqlite()).await;
    let url = format!("{}/debug/recording?seconds=300", service.admin);
    let request = service.client.post(url).timeout(Duration::from_secs(2)).send().await;
    assert!(request.unwrap_err().is_timeout());
    // The recorder is free again as soon as the service sees the connection closed.
    let started = Instant::now();
    while record(&service, 1).await.status() != 200 {
        assert!(started.elapsed() < PATIENCE, "the recorder is never free again");
    }
}
