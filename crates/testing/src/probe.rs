//! A client that goes on asking while something goes wrong.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{Service, allowed};

/// How often the probe asks.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long a response may take that nothing hinders. What the tests let go wrong takes seconds where it
/// hinders others.
const SOON: Duration = Duration::from_millis(250);

/// Asks a query every 100 ms until told to stop.
pub struct Probe {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Vec<Answer>>,
}

/// What the probe got.
#[derive(Debug)]
pub struct Answer {
    /// Since the probe began.
    pub at: Duration,
    /// Until the whole response was there.
    pub took: Duration,
    /// The status and the body, or why there is none.
    pub result: Result<(u16, Value), String>,
}

impl Answer {
    /// Whether the response is one of data, without errors.
    pub fn is_good(&self) -> bool {
        matches!(&self.result, Ok((200, body)) if body["data"].is_object() && body.get("errors").is_none())
    }
}

impl Probe {
    /// A probe that reads the catalog's first books.
    pub fn start(service: &Service) -> Self {
        Self::with(service, "{ books(first: 2) { nodes { id title } } }")
    }

    /// A probe with this document, from a peer address of its own.
    pub fn with(service: &Service, query: &str) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let client = Client::builder()
            .timeout(Duration::from_secs(20))
            .local_address(IpAddr::V4(Ipv4Addr::new(127, 9, 9, 9)))
            .build()
            .unwrap();
        let (url, body) = (format!("{}/graphql", service.url), json!({ "query": query }));
        let stopped = stop.clone();
        let asking = Handle::current().spawn(async move {
            let (began, mut answers) = (Instant::now(), Vec::new());
            let mut ticks = tokio::time::interval(INTERVAL);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !stopped.load(Ordering::Relaxed) {
                ticks.tick().await;
                let (at, asked) = (began.elapsed(), Instant::now());
                let result = ask(&client, &url, &body).await.map_err(|error| format!("{error:?}"));
                answers.push(Answer { at, took: asked.elapsed(), result });
            }
            answers
        });
        Self { stop, asking }
    }

    /// Stops and tells what was got.
    pub async fn answers(self) -> Vec<Answer> {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.await.unwrap()
    }

    /// Stops; every answer must be good, and 99 % of them there soon.
    pub async fn saw_nothing(self) {
        let answers = self.answers().await;
        let bad: Vec<_> = answers.iter().filter(|answer| !answer.is_good()).collect();
        assert!(bad.is_empty(), "{} of {} answers: {bad:#?}", bad.len(), answers.len());
        let p99 = percentile(answers.iter().map(|answer| answer.took).collect(), 99);
        assert!(p99 <= allowed(SOON), "p99 {p99:?} of {}", answers.len());
    }
}

/// The duration that `percent` of `durations` do not exceed.
pub fn percentile(mut durations: Vec<Duration>, percent: usize) -> Duration {
    assert!(!durations.is_empty(), "nothing was measured");
    durations.sort_unstable();
    durations[((durations.len() * percent).div_ceil(100)).max(1) - 1]
}

async fn ask(client: &Client, url: &str, body: &Value) -> reqwest::Result<(u16, Value)> {
    let response = client.post(url).json(body).send().await?;
    let status = response.status().as_u16();
    Ok((status, response.json().await?))
}
