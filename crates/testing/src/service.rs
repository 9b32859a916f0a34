//! A running service: its log, its routes, its end.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use reqwest::{
    Client,
    header::{HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PATIENCE;

/// A running service; killed when dropped.
pub struct Service {
    /// Where the public listener is, without a slash at the end.
    pub url: String,
    /// Where the admin listener is.
    pub admin: String,
    /// A client for both.
    pub client: Client,
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    /// Kept while the service needs its files.
    _dir: Arc<TempDir>,
}

impl Service {
    /// Lets nobody read the service's standard output until the answer is dropped.
    pub fn leave_log_unread(&self) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel();
        let (holding, held) = mpsc::channel();
        let log = self.log.clone();
        thread::spawn(move || {
            let _log = log.lock().unwrap();
            holding.send(()).unwrap();
            // Fails when the sender is dropped.
            let _ = released.recv();
        });
        held.recv().unwrap();
        release
    }

    /// Runs `command`, whose files are in `dir`, and waits until it listens.
    pub fn start(mut command: Command, dir: Arc<TempDir>) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let log = Arc::<Mutex<Vec<Value>>>::default();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let sink = log.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|_| json!({ "raw": line }));
                sink.lock().unwrap().push(event);
            }
        });
        let mut service = Self {
            url: String::new(),
            admin: String::new(),
            client: client(),
            child,
            log,
            _dir: dir,
        };
        let listening =
            service.wait_for_log("the addresses", |event| event["listen.admin"].is_string());
        service.url = format!("http://{}", listening["listen.public"].as_str().unwrap());
        service.admin = format!("http://{}", listening["listen.admin"].as_str().unwrap());
        service
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far, an event for each line.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// The first log event that `wanted` accepts, waiting for it.
    pub fn wait_for_log(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            if let Some(event) = self.log().into_iter().find(&wanted) {
                return event;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the service ended with {status} before {what}: {:?}", self.log());
            }
            assert!(started.elapsed() < PATIENCE, "{what} never came: {:?}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until `/readyz` answers 200 and tells how long that took.
    pub async fn ready(&self) -> Duration {
        let started = Instant::now();
        while self.readyz().await != 200 {
            assert!(started.elapsed() < PATIENCE, "never ready: {:?}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        started.elapsed()
    }

    /// The status of `/readyz`.
    pub async fn readyz(&self) -> u16 {
        self.client.get(format!("{}/readyz", self.admin)).send().await.unwrap().status().as_u16()
    }

    /// Sends a document and answers the whole JSON answer.
    pub async fn execute(&self, query: &str, variables: Value) -> Value {
        self.traced(query, variables).await.1
    }

    /// Sends a document and answers the trace it made, with the whole JSON answer.
    pub async fn traced(&self, query: &str, variables: Value) -> (String, Value) {
        let body = json!({ "query": query, "variables": variables });
        let request = self.client.post(format!("{}/graphql", self.url)).json(&body);
        let response = request.send().await.unwrap();
        (trace_of(&response), response.json().await.unwrap())
    }

    /// What a scrape gives.
    pub async fn scrape(&self) -> String {
        let response = self.client.get(format!("{}/metrics", self.admin)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    }

    /// Sends a document that must succeed and answers its data.
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.execute(query, variables).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer:#}");
        answer["data"].take()
    }

    /// Sends a document that must fail and answers its first error.
    pub async fn error(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.execute(query, variables).await;
        assert!(answer["errors"].is_array(), "{query} succeeded: {answer:#}");
        answer["errors"][0].take()
    }

    /// The code of the error that a document must fail with.
    pub async fn code(&self, query: &str, variables: Value) -> String {
        let error = self.error(query, variables).await;
        error["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{error:#}")).to_owned()
    }

    /// Enters a book and answers its id.
    pub async fn create(&self, input: Value) -> String {
        let document = "mutation($input: CreateBookInput!) { createBook(input: $input) { id } }";
        let data = self.data(document, json!({ "input": input })).await;
        data["createBook"]["id"].as_str().unwrap().to_owned()
    }

    /// Sends a signal, such as `-TERM`.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the service does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Ended already in tests that end it themselves.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client like any, which may send queries by GET; it wants to know who does TLS, though nothing here
/// is encrypted.
pub fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = HeaderMap::new();
    headers.insert("graphql-require-preflight", HeaderValue::from_static("1"));
    Client::builder().timeout(PATIENCE).default_headers(headers).build().unwrap()
}

/// The trace that an answer's header names; empty if it names none.
pub fn trace_of(response: &reqwest::Response) -> String {
    let header = response.headers().get("traceresponse");
    let text = header.map_or("", |value| value.to_str().unwrap());
    text.split('-').nth(1).unwrap_or_default().to_owned()
}
