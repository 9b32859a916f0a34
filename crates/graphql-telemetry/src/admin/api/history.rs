//! The last 15 minutes: a sample of the runtime, the process and the pools each second.
//!
//! It takes 7.2 kB for the times and 3.6 kB for each series, which are determined when sampling starts: one
//! for each worker, three for each pool, and 13 others. With four workers and two pools these are 23
//! series and 90 kB. A sample took 40 µs in a build without optimization, most of it to read
//! `/proc/self/stat`.

mod counts;
mod pools;
mod process;
mod quantiles;
mod ring;
mod runtime;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use tokio::{
    runtime::Handle,
    sync::broadcast,
    time::{MissedTickBehavior, interval},
};

use self::{
    counts::Counts, pools::Pools, process::Process, quantiles::Quantiles, ring::Ring,
    runtime::Runtime,
};
use crate::{
    GaugeSampler,
    admin::{Admin, rejection::Rejection},
};

/// The time between two samples.
const INTERVAL: Duration = Duration::from_secs(1);
/// Samples that a subscriber may be behind before it loses the oldest.
const BACKLOG: usize = 8;

/// A group of series.
trait Source: Send {
    /// Returns the names of its series, which stay the same.
    fn names(&self) -> Vec<String>;

    /// Appends a value for each series, NaN where there is none. `seconds` have passed since the last
    /// sample or, for the first one, since the source was made.
    fn sample(&mut self, seconds: f64, values: &mut Vec<f32>);
}

/// The samples, and who wants each of them.
pub struct History {
    ring: Mutex<Ring>,
    subscribers: broadcast::Sender<Arc<str>>,
}

impl Default for History {
    fn default() -> Self {
        let subscribers = broadcast::Sender::new(BACKLOG);
        Self { ring: Mutex::new(Ring::new(Vec::new())), subscribers }
    }
}

impl History {
    /// Spawns a task on the current runtime that samples each second, for ever: `runtime`, the process, and
    /// the pools that there are now.
    pub fn spawn(self: &Arc<Self>, runtime: &Handle, gauges: GaugeSampler) {
        let history = self.clone();
        let mut sampler = Sampler::new(runtime, gauges);
        *history.ring() = Ring::new(sampler.names());
        runtime_insight::spawn("admin history", async move {
            let mut ticks = interval(INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first is at once, and has nothing to compare with.
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let values = sampler.sample();
                history.record(SystemTime::now(), &values);
            }
        });
    }

    fn record(&self, time: SystemTime, values: &[f32]) {
        let mut ring = self.ring();
        ring.push(time, values);
        if self.subscribers.receiver_count() == 0 {
            return;
        }
        // Names are texts and numbers finite.
        if let Ok(latest) = serde_json::to_string(&ring.latest()) {
            // Fails if the subscribers are gone by now.
            let _ = self.subscribers.send(latest.into());
        }
    }

    /// Returns what receives each sample from now on, as JSON. A receiver that is 8 behind loses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.subscribers.subscribe()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET /debug/api/history`
pub async fn get(State(admin): State<Arc<Admin>>) -> Result<Response, Rejection> {
    let json = serde_json::to_vec(&*admin.history.ring()).map_err(Rejection::failed)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

/// All sources of a process.
struct Sampler {
    last: Instant,
    /// Has the pools count their idle connections.
    gauges: GaugeSampler,
    sources: Vec<Box<dyn Source>>,
}

impl Sampler {
    fn new(runtime: &Handle, gauges: GaugeSampler) -> Self {
        let metrics = runtime.metrics();
        gauges.sample_others();
        Self {
            last: Instant::now(),
            gauges,
            sources: vec![
                Box::new(Runtime::new(metrics.clone())),
                Box::new(Quantiles::poll_times(metrics.clone())),
                Box::new(Quantiles::schedule_latencies(metrics)),
                Box::new(Counts::new()),
                Box::new(Process::new()),
                Box::new(Pools::new()),
            ],
        }
    }

    fn names(&self) -> Vec<String> {
        self.sources.iter().flat_map(|source| source.names()).collect()
    }

    fn sample(&mut self) -> Vec<f32> {
        let now = Instant::now();
        let seconds = now.duration_since(self.last).as_secs_f64();
        self.last = now;
        self.gauges.sample_others();
        let mut values = Vec::new();
        for source in &mut self.sources {
            source.sample(seconds, &mut values);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn samples_a_value_for_each_series() {
        let gauges = GaugeSampler::new(None, || ());
        let mut sampler = Sampler::new(&Handle::current(), gauges);
        let names = sampler.names();
        for series in ["worker.0.busy", "tasks", "queue.global", "poll.p99", "operations", "memory"]
        {
            assert!(names.iter().any(|name| name == series), "{series} is not in {names:?}");
        }
        for _ in 0..3 {
            assert_eq!(sampler.sample().len(), names.len());
        }
    }

    #[test]
    fn sends_samples_to_subscribers() {
        let history = History::default();
        *history.ring() = Ring::new(vec!["tasks".to_owned()]);
        history.record(SystemTime::UNIX_EPOCH, &[1.0]);
        let mut subscriber = history.subscribe();
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1500);
        history.record(time, &[2.0]);
        assert_eq!(&*subscriber.try_recv().unwrap(), r#"{"time":1.5,"series":{"tasks":2}}"#);
    }
}
