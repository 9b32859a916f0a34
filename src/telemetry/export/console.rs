//! tokio-console: what the runtime tells of its tasks, for a terminal on the same machine.
//!
//! console-subscriber keeps two histograms of each task, some 50 kB, until its retention is over: at
//! a thousand operations a second that is gigabytes. So only so many new tasks a second are told;
//! those that are see everything, the others cost nothing.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use console_subscriber::{Builder, ConsoleLayer, Server, ServerParts};
use opentelemetry::Context;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport;
use tracing::{Metadata, error, subscriber::NoSubscriber};
use tracing_subscriber::{Layer, filter::DynFilterFn};

use super::{TelemetryError, logs::BoxedLayer};
use crate::{config::runtime::ConsoleSettings, telemetry::runtime::tasks};

/// Listens for consoles, on a thread of its own, and answers where, with what collects for them.
///
/// # Errors
/// If the address cannot be listened at, or the operating system refuses a thread.
pub fn start(settings: &ConsoleSettings) -> Result<(SocketAddr, BoxedLayer), TelemetryError> {
    let refused = |error| TelemetryError::Console(settings.bind, error);
    let listener = TcpListener::bind(settings.bind).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let (layer, server) = builder(settings).build();
    thread::Builder::new()
        .name("tokio-console".to_owned())
        .spawn(move || serve(server, listener))?;
    let admission = Admission::default();
    let filter = DynFilterFn::new(move |metadata, _| admission.admits(metadata));
    Ok((address, layer.with_filter(filter).boxed()))
}

fn builder(settings: &ConsoleSettings) -> Builder {
    let builder = ConsoleLayer::builder()
        .retention(settings.retention)
        .publish_interval(settings.publish_interval)
        .event_buffer_capacity(settings.buffer_capacity);
    match &settings.record_path {
        Some(path) => builder.recording_path(path),
        None => builder,
    }
}

/// What is told of tokio's instrumentation of itself.
struct Admission {
    tasks: Budget,
    resources: Budget,
    operations: Budget,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            tasks: Budget::new(500.0, 20.0),
            resources: Budget::new(2000.0, 50.0),
            operations: Budget::new(2000.0, 50.0),
        }
    }
}

impl Admission {
    /// What belongs to something that was not admitted is passed over by the layer.
    fn admits(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.name() {
            "runtime.spawn" => self.tasks.take(),
            "runtime.resource" => self.resources.take(),
            "runtime.resource.async_op" => self.operations.take(),
            name => {
                let target = metadata.target();
                name.starts_with("runtime.")
                    || target.starts_with("runtime")
                    || target.starts_with("tokio")
            }
        }
    }
}

/// So many at once, and so many more a second.
struct Budget {
    most: f64,
    a_second: f64,
    left: Mutex<(f64, Instant)>,
}

impl Budget {
    fn new(most: f64, a_second: f64) -> Self {
        Self { most, a_second, left: Mutex::new((most, Instant::now())) }
    }

    fn take(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = (now - left.1).as_secs_f64() * self.a_second;
        *left = ((left.0 + gained).min(self.most), now);
        let is_enough = left.0 >= 1.0;
        if is_enough {
            left.0 -= 1.0;
        }
        is_enough
    }
}

fn serve(server: Server, listener: TcpListener) {
    // What serves the console would fill it.
    let silent = tracing::subscriber::set_default(NoSubscriber::new());
    let _suppressed = Context::enter_telemetry_suppressed_scope();
    let result = run(server, listener);
    drop(silent);
    if let Err(error) = result {
        error!(name: "tokio_console.failed", error = &*error, "tokio-console is not let in any more");
    }
}

fn run(server: Server, listener: TcpListener) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let ServerParts { instrument_server, aggregator, .. } = server.into_parts();
        tasks::spawn("tokio-console aggregator", aggregator.run());
        let router = transport::Server::builder().add_service(instrument_server);
        Ok(router.serve_with_incoming(TcpListenerStream::new(listener)).await?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_and_comes_back() {
        let budget = Budget::new(3.0, 0.0);
        let taken: Vec<_> = (0..5).map(|_| budget.take()).collect();
        assert_eq!(taken, [true, true, true, false, false]);
        // As if an hour had passed: full again, and no more than that.
        let generous = Budget { a_second: 1e12, ..budget };
        assert!(generous.take());
        assert!(generous.left.lock().unwrap().0 <= 2.0);
    }
}
