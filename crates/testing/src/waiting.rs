//! Time limits of tests, and waiting for a condition.

use std::time::{Duration, Instant};

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

/// Waits until a condition holds; panics when that takes longer than [`PATIENCE`].
pub async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
