//! What is measured by looking, every few seconds and at each scrape.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use runtime_insight::metrics;

use crate::{metrics::Scrape, process};

/// How often to look.
const INTERVAL: Duration = Duration::from_secs(5);

/// Looks at the process, the runtime, and what else there is.
#[derive(Clone)]
pub struct GaugeSampler(Arc<Parts>);

struct Parts {
    process: process::Sampler,
    runtime: metrics::Sampler,
    other: Box<dyn Fn() + Send + Sync>,
    scrape: Option<Scrape>,
}

impl GaugeSampler {
    /// Looks at the runtime that it is called in, and does `other` as often. An [`Admin`](crate::admin::Admin)
    /// that is served does `other` each second as well, so that it should take microseconds.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(scrape: Option<Scrape>, other: impl Fn() + Send + Sync + 'static) -> Self {
        let sampler = Self(Arc::new(Parts {
            process: process::Sampler::default(),
            runtime: metrics::Sampler::new(&Handle::current()),
            other: Box::new(other),
            scrape,
        }));
        sampler.sample();
        sampler
    }

    /// Looks now.
    pub fn sample(&self) {
        self.0.process.sample();
        self.0.runtime.sample();
        self.sample_others();
    }

    /// Looks at what is neither the process nor the runtime.
    pub(crate) fn sample_others(&self) {
        (self.0.other)();
    }

    /// Spawns a task on the current runtime that samples every five seconds, for ever.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(&self) {
        let sampler = self.clone();
        runtime_insight::spawn("telemetry upkeep", async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                sampler.sample();
            }
        });
    }

    /// The metrics in Prometheus' text format, unless the scrape is switched off.
    #[must_use]
    pub fn render(&self) -> Option<String> {
        let scrape = self.0.scrape.as_ref()?;
        self.sample();
        Some(scrape.render())
    }
}
