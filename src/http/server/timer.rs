//! When a connection ends because no request comes. Hyper has one time limit for both the head of
//! a request and the wait for it on an idle connection; this timer gives it two.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};
use pin_project_lite::pin_project;
use tokio::time;

use crate::http::server::connection_state::ConnectionState;

/// How long a connection may wait for a request.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the first head from when the connection is open, for later ones from their first byte.
    pub head: Duration,
    /// For the first byte of a further request, from when the response before it is sent.
    pub keep_alive: Duration,
}

impl Timeouts {
    /// When the connection has waited for too long, unless a request is being answered.
    fn deadline(&self, state: &ConnectionState) -> Option<Instant> {
        let waiting = state.waiting()?;
        Some(match waiting.head_since {
            _ if !waiting.has_asked => waiting.since + self.head,
            Some(began) => began + self.head,
            None => waiting.since + self.keep_alive,
        })
    }

    /// When to look at the state next.
    fn next(&self, state: &ConnectionState) -> Instant {
        // While the client still takes a response, other limits hold.
        self.deadline(state).unwrap_or_else(|| Instant::now() + self.head.min(self.keep_alive))
    }
}

/// Hyper's timer for the heads of a connection's requests. It goes by what the connection is
/// doing, and ignores hyper's own deadlines.
pub struct HeadTimer {
    /// What the connection is doing.
    pub state: Arc<ConnectionState>,
    /// How long it may wait.
    pub timeouts: Timeouts,
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        let Self { state, timeouts } = self;
        let sleep = time::sleep_until(timeouts.next(state).into());
        Box::pin(HeadSleep { state: state.clone(), timeouts: *timeouts, sleep })
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(Duration::ZERO)
    }
}

pin_project! {
    /// Hyper polls it whenever it has read something that is no whole head, and at its end.
    struct HeadSleep {
        state: Arc<ConnectionState>,
        timeouts: Timeouts,
        #[pin]
        sleep: time::Sleep,
    }
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            let deadline = this.timeouts.deadline(this.state);
            if let Some(deadline) = deadline
                && this.sleep.deadline() != deadline.into()
            {
                this.sleep.as_mut().reset(deadline.into());
            }
            ready!(this.sleep.as_mut().poll(context));
            if deadline.is_some() {
                return Poll::Ready(());
            }
            this.sleep.as_mut().reset(this.timeouts.next(this.state).into());
        }
    }
}
