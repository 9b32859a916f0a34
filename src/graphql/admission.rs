//! How many operations run at a time. The others wait for a moment, and are refused then: they
//! would only make all of them slow.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tracing::warn;

use crate::{
    config::limits::RequestLimits,
    error::{Error, Result},
    telemetry::{graphql as telemetry, rarely::Rarely},
};

/// Lets so many operations in at a time.
#[derive(Clone, Debug)]
pub struct Gate {
    places: Arc<Semaphore>,
    patience: Duration,
}

/// An operation's place. Held for as long as it runs, also when nobody waits for it any more.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

impl Gate {
    /// As many as `limits` allow.
    #[must_use]
    pub fn new(limits: &RequestLimits) -> Self {
        let places = limits.max_operations.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(places)), patience: limits.queue_wait }
    }

    /// Waits for a place, in the order of coming.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if there is none in time. Nothing is logged for each of them: what
    /// a refusal costs is taken from those who were let in.
    pub async fn enter(&self) -> Result<Place> {
        static WARNINGS: Rarely = Rarely::new();
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            telemetry::waited(Duration::ZERO);
            return Ok(Place(place));
        }
        let came = Instant::now();
        let place = timeout(self.patience, self.places.clone().acquire_owned()).await;
        let waited = came.elapsed();
        telemetry::waited(waited);
        if let Ok(Ok(place)) = place {
            return Ok(Place(place));
        }
        telemetry::refused(Error::Overloaded.code(), waited);
        if WARNINGS.is_due() {
            warn!(
                name: "graphql.overloaded",
                ?waited,
                "as many operations run as may; some are refused, which graphql.server.errors counts"
            );
        }
        Err(Error::Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Cli;

    #[tokio::test]
    async fn a_place_is_had_at_once_or_soon_or_not_at_all() {
        let arguments = ["colophon", "--max-operations", "1", "--queue-wait", "200ms"];
        let gate = Gate::new(&Cli::parse_from(arguments).settings.limits.requests);
        let place = gate.enter().await.unwrap();
        let came = Instant::now();
        assert!(matches!(gate.enter().await, Err(Error::Overloaded)));
        assert!(came.elapsed() >= Duration::from_millis(200));
        let (next, ()) = tokio::join!(gate.enter(), async { drop(place) });
        next.unwrap();
    }
}
