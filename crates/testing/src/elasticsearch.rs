//! A real Elasticsearch node, as `tests/elastic-node` makes it.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{client, repository};

/// A running node; killed when dropped.
pub struct Elasticsearch {
    /// Where it listens.
    pub url: String,
    client: reqwest::Client,
    child: Child,
    /// The node ends with it.
    _stdin: ChildStdin,
    _dir: TempDir,
}

impl Elasticsearch {
    /// Starts a node on an empty folder and waits until it is ready.
    pub fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let built = folder();
        let server = built.join("elasticsearch");
        let mut child = Command::new("java")
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("--module-path")
            .arg(server.join("lib"))
            .args(["--add-modules", "ALL-MODULE-PATH"])
            .arg("-cp")
            .arg(built.join("elastic-node.jar"))
            .arg("Main")
            .args([server.as_path(), dir.path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("java cannot be started");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let ready = lines.find_map(|line| serde_json::from_str::<Value>(&line).ok());
        let ready = ready.expect("the node ended before it was ready");
        Self {
            url: ready["url"].as_str().unwrap().to_owned(),
            client: client(),
            _stdin: child.stdin.take().unwrap(),
            child,
            _dir: dir,
        }
    }

    /// What a path of the node answers; null for what is not there.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.client.get(format!("{}/{path}", self.url)).send().await.unwrap();
        if response.status() == 404 { Value::Null } else { response.json().await.unwrap() }
    }
}

impl Drop for Elasticsearch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the node has been built.
fn folder() -> PathBuf {
    let built = repository().join("target/elastic-node");
    assert!(
        built.join("elastic-node.jar").exists(),
        "there is no Elasticsearch: run `make test`, or `mvn -q -f tests/elastic-node package`"
    );
    built
}
