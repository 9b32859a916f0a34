//! What happens before and after each poll. The only module that knows all that take part in it.

use std::panic::Location;

use crate::{watchdog, worker};

pub(crate) fn before_poll(spawned_at: Option<&'static Location<'static>>) {
    worker::begin_poll(spawned_at);
}

pub(crate) fn after_poll() {
    let Some(poll) = worker::end_poll() else { return };
    #[cfg(feature = "cpu-profile")]
    crate::cpu::timeline::poll_ended(&poll);
    watchdog::poll_ended(&poll);
}

/// A poll of a task of this crate, where the runtime calls no hooks.
#[cfg(not(tokio_unstable))]
pub(crate) struct PollGuard(());

#[cfg(not(tokio_unstable))]
impl PollGuard {
    pub(crate) fn begin() -> Option<Self> {
        worker::is_watched().then(|| {
            before_poll(None);
            Self(())
        })
    }
}

#[cfg(not(tokio_unstable))]
impl Drop for PollGuard {
    fn drop(&mut self) {
        after_poll();
    }
}
