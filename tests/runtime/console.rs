//! tokio-console, by the protocol that its client speaks.

use std::{collections::HashMap, time::Instant};

use console_api::{
    field,
    instrument::{InstrumentRequest, Update, instrument_client::InstrumentClient},
    tasks::Stats,
};
use serde_json::json;
use testing::{Db, PATIENCE, Service};

use crate::lab_with;

/// What a console has received.
#[derive(Default)]
struct Seen {
    names: HashMap<u64, String>,
    stats: HashMap<u64, Stats>,
    dropped: u64,
}

impl Seen {
    fn take(&mut self, update: Update) {
        let Some(tasks) = update.task_update else { return };
        self.dropped += tasks.dropped_events;
        for task in tasks.new_tasks {
            let name = task.fields.iter().find_map(|field| {
                let is_name =
                    matches!(&field.name, Some(field::Name::StrName(name)) if name == "task.name");
                match &field.value {
                    Some(field::Value::StrVal(text) | field::Value::DebugVal(text)) if is_name => {
                        Some(text.trim_matches('"').to_owned())
                    }
                    _ => None,
                }
            });
            self.names.insert(task.id.unwrap().id, name.unwrap_or_default());
        }
        self.stats.extend(tasks.stats_update);
    }

    fn stats(&self, name: &str) -> Vec<&Stats> {
        let of_name = self.names.iter().filter(|(_, its)| *its == name);
        of_name.filter_map(|(id, _)| self.stats.get(id)).collect()
    }
}

fn console(service: &mut Service) -> String {
    let event = service.wait_for_log("tokio-console's address", |event| {
        event["event"] == "tokio_console.listening"
    });
    format!("http://{}", event["tokio.console.address"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_named_tasks_with_times_in_the_console() {
    let variables = [
        ("TOKIO_CONSOLE", "1"),
        ("TOKIO_CONSOLE_BIND", "127.0.0.1:0"),
        ("TOKIO_CONSOLE_PUBLISH_INTERVAL", "100ms"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
    ];
    let mut service = lab_with(&Db::sqlite(), &variables).await;
    let authors = [json!({ "name": "Ada Lovelace" })];
    service.create(json!({ "title": "Notes", "authors": authors })).await;
    let mut client = InstrumentClient::connect(console(&mut service)).await.unwrap();
    let mut updates = client.watch_updates(InstrumentRequest {}).await.unwrap().into_inner();
    let work = async {
        service.data("{ labSpin(ms: 300) labSleep(ms: 300) }", json!({})).await;
        service.data("{ labSpin(ms: 300) }", json!({})).await;
        service.data("{ labSleep(ms: 300) }", json!({})).await;
        let nested = "{ books { nodes { authors { books { nodes { title } } } } } }";
        service.data(nested, json!({})).await;
    };
    let watch = async {
        let mut seen = Seen::default();
        let started = Instant::now();
        let wanted = [
            "http accept",
            "http connection",
            "telemetry upkeep",
            "telemetry exporter",
            "query Query.labSpin",
            "query Query.labSleep",
            "query Query.books",
            "query _MULTIPLE",
            "batch books",
        ];
        let is_there = |seen: &Seen, name: &str| {
            seen.stats(name)
                .iter()
                .any(|stats| stats.poll_stats.is_some_and(|polls| polls.polls > 0))
        };
        let ended = |seen: &Seen, name: &str| {
            seen.stats(name).iter().any(|stats| stats.dropped_at.is_some())
        };
        loop {
            let update = tokio::time::timeout(PATIENCE, updates.message()).await.unwrap();
            seen.take(update.unwrap().expect("the stream goes on"));
            if wanted.iter().all(|name| is_there(&seen, name))
                && ended(&seen, "query Query.labSpin")
                && ended(&seen, "query Query.labSleep")
            {
                return seen;
            }
            let missing: Vec<_> = wanted.iter().filter(|name| !is_there(&seen, name)).collect();
            assert!(started.elapsed() < PATIENCE, "{missing:?} are not among {:?}", seen.names);
        }
    };
    let ((), seen) = tokio::join!(work, watch);
    let busy = |name: &str| {
        let stats = seen.stats(name)[0];
        let time = stats.poll_stats.unwrap().busy_time.unwrap();
        f64::from(time.nanos) / 1e9 + f64::from(i32::try_from(time.seconds).unwrap())
    };
    assert!((0.3..1.0).contains(&busy("query Query.labSpin")), "{}", busy("query Query.labSpin"));
    assert!(busy("query Query.labSleep") < 0.1, "{}", busy("query Query.labSleep"));
    let polls = seen.stats("query Query.labSleep")[0].poll_stats.unwrap().polls;
    assert!((2..20).contains(&polls), "{polls}");
    assert_eq!(seen.dropped, 0, "events that the console did not receive");
    // Log lines and spans are still those of the operation, and none of tokio's.
    assert!(
        service.log().iter().all(|event| !event["target"].as_str().unwrap().starts_with("tokio"))
    );
}

/// The names of a process's threads.
fn threads(service: &Service) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", service.pid())).unwrap();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    tasks.filter_map(|task| name(task.ok()?).ok()).map(|name| name.trim().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_no_console_by_default() {
    let db = Db::sqlite();
    let service = db.serve().await;
    assert!(
        !threads(&service).iter().any(|name| name == "tokio-console"),
        "{:?}",
        threads(&service)
    );
    drop(service);
    let service =
        db.serve_in(&[("TOKIO_CONSOLE", "1"), ("TOKIO_CONSOLE_BIND", "127.0.0.1:0")]).await;
    assert!(
        threads(&service).iter().any(|name| name == "tokio-console"),
        "{:?}",
        threads(&service)
    );
}

#[test]
fn names_the_variable_of_a_console_that_cannot_be_served() {
    let db = Db::sqlite();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (variable, value) in [
        ("TOKIO_CONSOLE_BIND", "here"),
        ("TOKIO_CONSOLE_BIND", &taken),
        ("TOKIO_CONSOLE_RETENTION", "long"),
        ("TOKIO_CONSOLE_BUFFER_CAPACITY", "0"),
        ("TOKIO_CONSOLE", "maybe"),
    ] {
        let mut command = db.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("TOKIO_CONSOLE", "1").env(variable, value);
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{variable}={value} was taken");
        let told = testing::stderr(&output);
        assert!(told.contains(variable), "{variable}={value}: {told}");
    }
}
