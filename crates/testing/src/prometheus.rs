//! A real Prometheus with the repository's configuration and rules.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    PATIENCE, client,
    collector::{Attributes, free_port},
    repository,
};

/// A running Prometheus; killed when dropped.
pub struct Prometheus {
    /// Where it listens.
    pub url: String,
    client: Client,
    child: Child,
    dir: TempDir,
}

/// A series and its latest value.
#[derive(Debug)]
pub struct Sample {
    /// Its labels, with its name as `__name__`.
    pub labels: Attributes,
    /// The value.
    pub value: f64,
}

/// Where a collector shows what.
pub struct Targets {
    /// What it scraped, and what it made of spans.
    pub exposed: String,
    /// How it is doing itself.
    pub own: String,
}

impl Targets {
    /// Ports that are free.
    pub fn choose() -> Self {
        let address = || format!("127.0.0.1:{}", free_port());
        Self { exposed: address(), own: address() }
    }

    /// The port of the collector's own metrics.
    pub fn own_port(&self) -> &str {
        self.own.rsplit_once(':').unwrap().1
    }
}

impl Prometheus {
    /// Starts Prometheus with the repository's files, but for where its targets are and, so that a
    /// test need not wait for long, how often it asks them and for how long an alert must hold.
    pub async fn start(targets: &Targets) -> Self {
        let dir = TempDir::new().unwrap();
        let own = format!("127.0.0.1:{}", free_port());
        let source = repository().join("collector/prometheus");
        let configuration = fs::read_to_string(source.join("prometheus.yml")).unwrap();
        let configuration = configuration
            .replace("collector:8889", &targets.exposed)
            .replace("collector:8888", &targets.own)
            .replace("localhost:9090", &own)
            .replace("interval: 15s", "interval: 1s");
        fs::write(dir.path().join("prometheus.yml"), configuration).unwrap();
        copy_rules(&source.join("rules"), &dir.path().join("rules"));
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(
            std::env::var("COLOPHON_TEST_PROMETHEUS").as_deref().unwrap_or("prometheus"),
        )
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=data")
        .arg("--enable-feature=exemplar-storage")
        .arg(format!("--web.listen-address={own}"))
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("prometheus cannot be started: run `make test`, or install it");
        let prometheus = Self { url: format!("http://{own}"), client: client(), child, dir };
        prometheus.wait("Prometheus is ready", async || prometheus.is_ready().await).await;
        prometheus
    }

    async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("{}/-/ready", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// What Prometheus says in its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let request = self.client.get(format!("{}/api/v1/{path}", self.url)).query(query);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["status"], "success", "{query:?}: {answer:#}");
        answer["data"].clone()
    }

    /// The series that an expression has now.
    pub async fn query(&self, expression: &str) -> Vec<Sample> {
        let data = self.get("query", &[("query", expression)]).await;
        let read = |sample: &Value| Sample {
            labels: labels(&sample["metric"]),
            value: sample["value"][1].as_str().unwrap().parse().unwrap(),
        };
        match data["resultType"].as_str().unwrap() {
            "vector" => data["result"].as_array().unwrap().iter().map(read).collect(),
            "scalar" => {
                let value = data["result"][1].as_str().unwrap().parse().unwrap();
                vec![Sample { labels: Attributes::new(), value }]
            }
            kind => panic!("{expression} is a {kind}"),
        }
    }

    /// The names of all metrics.
    pub async fn metrics(&self) -> BTreeSet<String> {
        let names = self.get("label/__name__/values", &[]).await;
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// The exemplars of an expression in the last hour.
    pub async fn exemplars(&self, expression: &str) -> Vec<Attributes> {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let (start, end) = ((now - 3600).to_string(), (now + 60).to_string());
        let query = [("query", expression), ("start", &start), ("end", &end)];
        let series = self.get("query_exemplars", &query).await;
        let all = series.as_array().unwrap().iter();
        all.flat_map(|series| series["exemplars"].as_array().unwrap().clone())
            .map(|exemplar| labels(&exemplar["labels"]))
            .collect()
    }

    /// The rules of all groups.
    pub async fn rules(&self) -> Vec<Value> {
        let data = self.get("rules", &[]).await;
        let groups = data["groups"].as_array().unwrap().iter();
        groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    /// The alerts that are firing, or about to, with their labels and annotations.
    pub async fn alerts(&self) -> Vec<Value> {
        self.get("alerts", &[]).await["alerts"].as_array().unwrap().clone()
    }

    /// Waits until `is_so`, looking again and again.
    pub async fn wait(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !is_so().await {
            assert!(
                started.elapsed() < PATIENCE,
                "{what}: not within {PATIENCE:?}\n{}",
                self.log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Alerts hold for three seconds instead of minutes. Shares over days have their first value before a
/// time of day that five minutes divide; the alerts, which count by these five minutes, stay.
fn copy_rules(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let rules = fs::read_to_string(&path).unwrap();
        let line = |line: &str| match line.split_once("for: ") {
            Some((before, _)) if before.trim().is_empty() => format!("{before}for: 3s\n"),
            _ => format!("{line}\n"),
        };
        let rules: String = rules.lines().map(line).collect();
        let rules =
            if path.ends_with("recording.yml") { rules.replace("d:5m]", "d:5s]") } else { rules };
        fs::write(to.join(path.file_name().unwrap()), rules).unwrap();
    }
}

fn labels(metric: &Value) -> Attributes {
    let pairs = metric.as_object().unwrap().iter();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}
