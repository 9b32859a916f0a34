//! Starts the program as users do: as a process, with flags and environment, over HTTP. And what
//! stands around it: databases, a pooler, collectors, Prometheus, Elasticsearch.
//!
//! Everything panics where it cannot go on, which fails the test.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails"
)]
#![expect(clippy::must_use_candidate, reason = "what a test does not look at is no mistake")]

pub mod collector;
pub mod elasticsearch;
pub mod otlp;
pub mod pgbouncer;
pub mod postgres;
pub mod probe;
pub mod prometheus;
pub mod proxy;
pub mod registry;
pub mod socket;
pub mod stack;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use reqwest::{
    Client,
    header::{HeaderMap, HeaderValue},
};
use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything that a test waits for may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Whether long tests are to run in full, as `make soak` has them, and not in a shortened form.
pub fn full() -> bool {
    std::env::var_os("COLOPHON_TEST_FULL").is_some()
}

/// How long something may take that takes at most `alone` on a machine that does nothing else: longer
/// unless the tests run in full, which takes such a machine.
pub fn allowed(alone: Duration) -> Duration {
    if full() { alone } else { 4 * alone }
}

/// Expands to the same test on both databases.
#[macro_export]
macro_rules! on_both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($db:ident: Db) $body:block)*) => {
        $(mod $name {
            use super::*;

            $(#[$meta])*
            async fn check($db: Db) $body

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                check(Db::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                check(Db::postgres().await).await;
            }
        })*
    };
}

/// An empty database.
pub struct Db {
    /// The URL that the service is given.
    pub url: String,
    /// A folder for its files, which is removed with the last user.
    pub dir: Arc<TempDir>,
}

impl Db {
    /// A file of SQLite, which the service creates.
    pub fn sqlite() -> Self {
        let dir = Arc::new(TempDir::new().unwrap());
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("books.db").display());
        Self { url, dir }
    }

    /// A database of the cluster that `COLOPHON_TEST_POSTGRES` names.
    pub async fn postgres() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let cluster = std::env::var("COLOPHON_TEST_POSTGRES").expect(
            "COLOPHON_TEST_POSTGRES is not set: run `make test`, or \
             `export COLOPHON_TEST_POSTGRES=$(scripts/postgres start target/postgres)`",
        );
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let admin = Database::connect(&cluster).await.unwrap();
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        admin.close().await.unwrap();
        let url = cluster.replace("/postgres?", &format!("/{name}?"));
        assert_ne!(url, cluster, "the cluster's URL must name the database postgres");
        Self { url, dir: Arc::new(TempDir::new().unwrap()) }
    }

    /// Whether it is one of SQLite.
    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite")
    }

    /// Writes a file beside the database and tells its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The program on this database, in a folder and environment of its own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("DATABASE_URL", &self.url).current_dir(self.dir.path());
        command
    }

    /// Runs a command of the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts the service and waits until it is ready.
    pub async fn serve(&self) -> Service {
        self.serve_with(&[]).await
    }

    /// Starts the service with these flags and waits until it is ready.
    pub async fn serve_with(&self, arguments: &[&str]) -> Service {
        let service = self.spawn(arguments);
        service.ready().await;
        service
    }

    /// Starts the service with these variables.
    pub async fn serve_in(&self, variables: &[(&str, &str)]) -> Service {
        let service = self.spawn_in(variables, &[]);
        service.ready().await;
        service
    }

    /// Starts the service with its admin listener at this address.
    pub async fn serve_at(&self, admin: &str, variables: &[(&str, &str)]) -> Service {
        let service = self.spawn_in(variables, &["--admin-listen", admin]);
        service.ready().await;
        service
    }

    /// Starts the service without waiting until it is ready.
    pub fn spawn(&self, arguments: &[&str]) -> Service {
        self.spawn_in(&[], arguments)
    }

    /// Starts the service after a line of shell, such as `ulimit -n 256`.
    pub async fn serve_after(&self, line: &str, arguments: &[&str]) -> Service {
        let service = self.serving(&[], arguments);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{line} && exec \"$@\""), "sh"]);
        shell.arg(service.get_program()).args(service.get_args());
        for (name, value) in service.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.current_dir(self.dir.path()).stdin(Stdio::null());
        let service = Service::start(shell, self.dir.clone());
        service.ready().await;
        service
    }

    fn spawn_in(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Service {
        Service::start(self.serving(variables, arguments), self.dir.clone())
    }

    fn serving(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Command {
        let mut command = self.command(&[&["serve"], arguments].concat());
        command.env("COLOPHON_LISTEN", "127.0.0.1:0").env("COLOPHON_ADMIN_LISTEN", "127.0.0.1:0");
        command.envs(variables.iter().copied());
        command
    }
}

/// The program that is built with the tests or, where COLOPHON_TEST_PROGRAM names one, another build of
/// it; with nothing of our environment that it would read.
pub fn program(arguments: &[&str]) -> Command {
    let named = std::env::var_os("COLOPHON_TEST_PROGRAM");
    let mut command = Command::new(named.map_or_else(built, PathBuf::from));
    for (name, _) in std::env::vars() {
        let is_ours =
            ["COLOPHON_", "OTEL_", "TOKIO_"].iter().any(|prefix| name.starts_with(prefix));
        if is_ours || name == "DATABASE_URL" || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    // With backtraces, the first fault has its response wait until all debug information is read.
    command.env_remove("RUST_BACKTRACE");
    // On a busy machine any poll may be slow; that is told where it is looked for.
    command.env("COLOPHON_SLOW_POLL", "10s");
    // Nor is who waits for a place refused, but where that is tested.
    command.env("COLOPHON_QUEUE_WAIT", "20s");
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The program that Cargo builds for the tests of its package, above the folder of their own programs.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().with_file_name("colophon")
}

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

/// A client like any, which may send queries by GET; it wants to know who does TLS, though nothing here
/// is encrypted.
pub fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = HeaderMap::new();
    headers.insert("graphql-require-preflight", HeaderValue::from_static("1"));
    Client::builder().timeout(PATIENCE).default_headers(headers).build().unwrap()
}

impl Service {
    /// Lets nobody read the service's standard output until the response is dropped.
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

    /// Sends a document and returns the whole JSON answer.
    pub async fn execute(&self, query: &str, variables: Value) -> Value {
        self.traced(query, variables).await.1
    }

    /// Sends a document and returns the trace it made, with the whole JSON answer.
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

    /// Sends a document that must succeed and returns its data.
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.execute(query, variables).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer:#}");
        answer["data"].take()
    }

    /// Sends a document that must fail and returns its first error.
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

    /// Enters a book and returns its id.
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

/// The trace that a response's header names; empty if it names none.
pub fn trace_of(response: &reqwest::Response) -> String {
    let header = response.headers().get("traceresponse");
    let text = header.map_or("", |value| value.to_str().unwrap());
    text.split('-').nth(1).unwrap_or_default().to_owned()
}

/// What a command wrote to standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The folder of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
