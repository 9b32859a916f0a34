//! tokio-console: the server that it connects to, and what limits its cost.
//!
//! console-subscriber keeps two histograms of each task, some 50 kB, until its retention is over: at a
//! thousand tasks a second that is gigabytes. So only so many new tasks a second are shown; those that
//! are, completely, and the others cost nothing.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    thread,
    time::Duration,
};

use console_subscriber::{Builder, ConsoleLayer, Server, ServerParts};
use opentelemetry::Context;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport;
use tracing::{Metadata, Subscriber, error, subscriber::NoSubscriber};
use tracing_subscriber::{Layer, filter::DynFilterFn, registry::LookupSpan};

use crate::{rate_limiter::RateLimiter, spawn::spawn};

/// How tokio-console is served.
#[derive(Clone, Debug)]
pub struct ConsoleOptions {
    /// The address to listen on. Whoever reaches it sees all tasks.
    pub bind: SocketAddr,
    /// How long tasks that have ended are shown.
    pub retention: Duration,
    /// How often news is sent.
    pub publish_interval: Duration,
    /// Events that wait to be counted; those beyond are lost to tokio-console.
    pub buffer_capacity: usize,
    /// A file that all of it is written to, too.
    pub record_path: Option<PathBuf>,
}

/// Listens for tokio-console, on a thread of its own. Returns the address, and the layer that collects
/// for it.
///
/// # Errors
/// If the address cannot be listened on, or the operating system rejects a thread.
pub fn serve_console<S>(
    options: &ConsoleOptions,
) -> io::Result<(SocketAddr, impl Layer<S> + Send + Sync + use<S>)>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let listener = TcpListener::bind(options.bind)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let (layer, server) = builder(options).build();
    thread::Builder::new()
        .name("tokio-console".to_owned())
        .spawn(move || serve(server, listener))?;
    let admission = Admission::default();
    let filter = DynFilterFn::new(move |metadata, _| admission.admits(metadata));
    Ok((address, layer.with_filter(filter)))
}

fn builder(options: &ConsoleOptions) -> Builder {
    let builder = ConsoleLayer::builder()
        .retention(options.retention)
        .publish_interval(options.publish_interval)
        .event_buffer_capacity(options.buffer_capacity);
    match &options.record_path {
        Some(path) => builder.recording_path(path),
        None => builder,
    }
}

/// What of tokio's instrumentation of itself is shown.
struct Admission {
    tasks: RateLimiter,
    resources: RateLimiter,
    operations: RateLimiter,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            tasks: RateLimiter::new(500.0, 20.0),
            resources: RateLimiter::new(2000.0, 50.0),
            operations: RateLimiter::new(2000.0, 50.0),
        }
    }
}

impl Admission {
    /// What belongs to something that was not admitted is passed over by the layer.
    fn admits(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.name() {
            "runtime.spawn" => self.tasks.admit().is_some(),
            "runtime.resource" => self.resources.admit().is_some(),
            "runtime.resource.async_op" => self.operations.admit().is_some(),
            name => {
                let target = metadata.target();
                name.starts_with("runtime.")
                    || target.starts_with("runtime")
                    || target.starts_with("tokio")
            }
        }
    }
}

fn serve(server: Server, listener: TcpListener) {
    // What serves the console would fill it.
    let silent = tracing::subscriber::set_default(NoSubscriber::new());
    let _suppressed = Context::enter_telemetry_suppressed_scope();
    let result = run(server, listener);
    drop(silent);
    if let Err(error) = result {
        error!(name: "tokio_console.failed", { exception.message = &*error }, "tokio-console server failed");
    }
}

fn run(server: Server, listener: TcpListener) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let ServerParts { instrument_server, aggregator, .. } = server.into_parts();
        spawn("tokio-console aggregator", aggregator.run());
        let router = transport::Server::builder().add_service(instrument_server);
        Ok(router.serve_with_incoming(TcpListenerStream::new(listener)).await?)
    })
}
