//! `/debug/api/…`, and the page that shows it.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};
use testing::{
    Db, PATIENCE, Service,
    collector::prompt,
    otlp::{Answer, Receiver},
    wait_until,
};

use crate::{lab, lab_with};

async fn get(service: &Service, path: &str) -> Value {
    let url = format!("{}/debug/api/{path}", service.admin);
    let response = service.client.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

/// Server-sent events as they come.
struct Events {
    response: Response,
    unread: String,
}

impl Events {
    async fn open(service: &Service) -> Self {
        let url = format!("{}/debug/api/events", service.admin);
        let response = service.client.get(url).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, unread: String::new() }
    }

    /// The data of the next event of this name that is as wanted.
    async fn find(&mut self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            while let Some(end) = self.unread.find("\n\n") {
                let event: String = self.unread.drain(..end + 2).collect();
                let data = event.trim_end().strip_prefix(&format!("event: {name}\ndata: "));
                let data = data.map(|data| serde_json::from_str(data).unwrap());
                if let Some(data) = data.filter(&is_it) {
                    return data;
                }
            }
            let bytes = self.response.chunk().await.unwrap().unwrap();
            self.unread.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

/// The values of a series of the history.
fn series(history: &Value, name: &str) -> Vec<f64> {
    let values = history["series"][name].as_array();
    let values = values.unwrap_or_else(|| panic!("{name} is not in {history:#}"));
    values.iter().filter_map(Value::as_f64).collect()
}

fn is_block(poll: &Value) -> bool {
    poll["root_field"] == "Query.labBlock"
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_samples_and_slow_polls_as_they_happen() {
    let service = lab(&Db::sqlite()).await;
    let mut events = Events::open(&service).await;
    let before = events.find("sample", |_| true).await;
    let started = Instant::now();
    let block = service.traced("{ labBlock(ms: 4000) }", json!({}));
    let look = async {
        let poll = events.find("slow_poll", is_block).await;
        assert!(started.elapsed() < Duration::from_secs(3), "it was sent when it had ended");
        assert_eq!(poll["ended"], false, "{poll}");
        let busy = |sample: &Value| {
            ["worker.0.busy", "worker.1.busy"].iter().any(|it| sample["series"][it] == 1)
        };
        let sample = events.find("sample", busy).await;
        assert!(started.elapsed() < Duration::from_secs(4), "it was busy when it had ended");
        assert!(sample["time"].as_f64() > before["time"].as_f64(), "{sample}");
        poll
    };
    let ((trace, _), poll) = tokio::join!(block, look);
    assert_eq!(poll["trace_id"], *trace);
    assert_eq!(poll["task"], "query Query.labBlock");
    assert_eq!(poll["field"], "Query.labBlock");
    let kept = get(&service, "slow-polls").await;
    let kept = kept["slow_polls"].as_array().unwrap();
    assert_eq!(kept.iter().find(|poll| is_block(poll)), Some(&poll));
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_a_history_of_each_second() {
    let service = lab(&Db::sqlite()).await;
    for _ in 0..20 {
        service.data("{ books(first: 1) { nodes { id } } }", json!({})).await;
    }
    service.error("{ nothing }", json!({})).await;
    service.data("{ labBlock(ms: 50) }", json!({})).await;
    let sum = |history: &Value, name: &str| series(history, name).iter().sum::<f64>();
    wait_until("22 operations", async || {
        (sum(&get(&service, "history").await, "operations") - 22.0).abs() < 0.5
    })
    .await;
    let history = get(&service, "history").await;
    let time = history["time"].as_array().unwrap();
    for (name, values) in history["series"].as_object().unwrap() {
        assert_eq!(values.as_array().unwrap().len(), time.len(), "{name}");
    }
    assert!((sum(&history, "errors") - 1.0).abs() < 0.5, "{history}");
    assert!(sum(&history, "slow_polls") >= 1.0, "{history}");
    assert!(series(&history, "memory").iter().all(|bytes| *bytes > 1e6), "{history}");
    // 50 ms, to a factor of two.
    assert!(series(&history, "poll.p99").iter().any(|time| (0.03..0.14).contains(time)));
    for name in ["worker.1.busy", "queue.local", "schedule.p99", "cpu", "pool.reader.idle"] {
        assert!(!series(&history, name).is_empty(), "{name}: {history}");
    }
    let before = time.len();
    wait_until("another sample", async || {
        get(&service, "history").await["time"].as_array().unwrap().len() > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_name_functions_and_root_fields() {
    let service = lab(&Db::sqlite()).await;
    let spin = service.data("{ labSpin(ms: 1500) }", json!({}));
    let (profile, _) = tokio::join!(get(&service, "profile?seconds=1"), spin);
    assert_eq!(profile["seconds"], 1);
    let functions = profile["functions"].as_array().unwrap();
    let is_spin = |frame: &Value| {
        let name = functions[usize::try_from(frame.as_u64().unwrap()).unwrap()].as_str().unwrap();
        name == "spin" || name.ends_with("::spin")
    };
    let stacks = profile["stacks"].as_array().unwrap();
    let of_spin = stacks.iter().filter(|stack| {
        stack["root_field"] == "Query.labSpin"
            && stack["frames"].as_array().unwrap().iter().any(is_spin)
    });
    let samples: u64 = of_spin.map(|stack| stack["samples"].as_u64().unwrap()).sum();
    assert!(samples > 10, "{profile:#}");
    let total: u64 = stacks.iter().map(|stack| stack["samples"].as_u64().unwrap()).sum();
    assert_eq!(profile["samples"], total);
    for query in ["seconds=0", "seconds=301", "seconds=many"] {
        let url = format!("{}/debug/api/profile?{query}", service.admin);
        assert_eq!(service.client.get(url).send().await.unwrap().status(), 400, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dumps_tasks_as_json() {
    let service = lab(&Db::sqlite()).await;
    let dump = get(&service, "tasks").await;
    let tasks = dump["tasks"].as_array().unwrap();
    let accept = tasks.iter().find(|task| task["name"] == "http accept").unwrap();
    assert_eq!((&accept["state"], &accept["operation"]), (&json!("parked"), &Value::Null));
    let place = accept["stacks"][0][1]["place"].as_str().unwrap();
    assert!(place.starts_with("src/http/server.rs:"), "{accept}");
    assert!(dump["others"].is_u64(), "{dump}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_pools_and_waits_for_them() {
    let variables = [("COLOPHON_POOL_SIZE", "1"), ("COLOPHON_POOL_WAIT", "300ms")];
    let service = lab_with(&Db::sqlite(), &variables).await;
    let reader = async || {
        let database = get(&service, "database").await;
        assert!(database["statements"].is_array(), "{database}");
        let pools = database["pools"].as_array().unwrap().clone();
        pools.into_iter().find(|pool| pool["name"] == "reader").unwrap()
    };
    let slow = service.data("{ labExhaustPool(ms: 1500) }", json!({}));
    let look = async {
        wait_until("a connection in use", async || reader().await["used"] == 1).await;
        let second = service.execute("{ books(first: 1) { nodes { id } } }", json!({}));
        let waits = wait_until("a wait", async || reader().await["waiting"] == 1);
        tokio::join!(second, waits);
    };
    tokio::join!(slow, look);
    let pool = reader().await;
    assert_eq!((&pool["max"], &pool["used"], &pool["waiting"]), (&json!(1), &json!(0), &json!(0)));
    assert_eq!((&pool["idle"], &pool["timeouts"]), (&json!(1), &json!(1)), "{pool}");
    assert_eq!(pool["wait"]["count"], 1, "{pool}");
    assert!((0.3..2.0).contains(&pool["wait"]["max"].as_f64().unwrap()), "{pool}");
    assert!(pool["acquired"].as_u64() >= Some(1), "{pool}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_telemetry_that_is_exported_and_lost() {
    let receiver = Receiver::start().await;
    let service = lab_with(&Db::sqlite(), &prompt(&receiver.http())).await;
    let signal = async |name: &str| {
        let telemetry = get(&service, "telemetry").await;
        let signals = telemetry["signals"].as_array().unwrap().clone();
        signals.into_iter().find(|signal| signal["signal"] == name).unwrap()
    };
    let grows = async |name: &str, count: &str| {
        wait_until("a count", async || signal(name).await[count].as_u64() > Some(0)).await;
    };
    service.data("{ books(first: 1) { nodes { id } } }", json!({})).await;
    for name in ["traces", "metrics", "logs"] {
        grows(name, "exported").await;
        let signal = signal(name).await;
        assert_eq!(signal["destination"], format!("http/protobuf {}", receiver.http()));
        assert_eq!(signal["lost"], 0, "{signal}");
    }
    receiver.answer(Answer::Refuse);
    service.data("{ books(first: 1) { nodes { id } } }", json!({})).await;
    for name in ["traces", "metrics", "logs"] {
        grows(name, "lost").await;
    }
    let telemetry = get(&service, "telemetry").await;
    assert_eq!(telemetry["service"]["name"], "colophon");
    assert_eq!(telemetry["service"]["instance"].as_str().map(str::len), Some(36), "{telemetry}");
    assert!(telemetry["service"]["uptime"].as_f64() > Some(0.0), "{telemetry}");
    assert_eq!(telemetry["scrape"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_settings_without_secrets() {
    let variables =
        [("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret"), ("OTEL_SERVICE_NAME", "shelf")];
    let service = lab_with(&Db::sqlite(), &variables).await;
    let settings = get(&service, "settings").await;
    let find = |variable: &str| {
        let all = settings["settings"].as_array().unwrap();
        all.iter().find(|setting| setting["variable"] == variable).unwrap().clone()
    };
    assert_eq!(
        find("COLOPHON_LAB"),
        json!({ "flag": "--lab", "variable": "COLOPHON_LAB", "value": "1", "source": "environment" })
    );
    assert_eq!(find("COLOPHON_DRAIN_TIMEOUT")["source"], "default");
    assert_eq!(find("COLOPHON_TOKENS_FILE")["value"], Value::Null);
    let name = find("OTEL_SERVICE_NAME");
    assert_eq!((&name["flag"], &name["value"]), (&Value::Null, &json!("shelf")));
    assert_eq!(find("OTEL_EXPORTER_OTLP_HEADERS")["value"], "***");
    assert!(!settings.to_string().contains("s3cret"), "{settings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_the_admin_page_to_browsers_unless_in_production() {
    let db = Db::sqlite();
    let get = async |service: &Service, accept: &str| {
        let request = service.client.get(&service.admin).header("accept", accept);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        (media_type, policy, response.text().await.unwrap())
    };
    let service = lab(&db).await;
    let (media_type, policy, page) = get(&service, "text/html").await;
    assert_eq!(media_type, "text/html; charset=utf-8");
    assert!(policy.contains("connect-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.contains("<title>Colophon"), "{page}");
    let (media_type, _, list) = get(&service, "*/*").await;
    assert_eq!(media_type, "text/plain; charset=utf-8");
    assert!(list.contains("/debug/api/history "), "{list}");
    let listening =
        service.log().into_iter().find(|it| it["event"] == "service.listening").unwrap();
    let message = listening["message"].as_str().unwrap();
    for address in [&service.url, &service.admin] {
        let (_, port) = address.rsplit_once(':').unwrap();
        assert!(message.contains(&format!("http://localhost:{port}")), "{message}");
    }
    drop(service);
    for (ui, is_served) in [("", false), ("true", true), ("false", false)] {
        let variables = [("COLOPHON_PRODUCTION", "true"), ("COLOPHON_ADMIN_UI", ui)];
        let service = lab_with(&db, &variables).await;
        let (media_type, ..) = get(&service, "text/html").await;
        assert_eq!(media_type.starts_with("text/html"), is_served, "{ui}: {media_type}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_the_readers_of_events() {
    let service = lab(&Db::sqlite()).await;
    let open = || service.client.get(format!("{}/debug/api/events", service.admin)).send();
    let mut readers = Vec::new();
    for _ in 0..16 {
        let response = open().await.unwrap();
        assert_eq!(response.status(), 200);
        readers.push(response);
    }
    assert_eq!(open().await.unwrap().status(), 503);
    readers.pop();
    let started = Instant::now();
    while open().await.unwrap().status() == 503 {
        assert!(started.elapsed() < PATIENCE, "the place of a reader that went away is not free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
