//! tokio-console: what the runtime tells of its tasks, for a terminal on the same machine.

use std::{
    net::{SocketAddr, TcpListener},
    thread,
};

use console_subscriber::{Builder, ConsoleLayer, Server, ServerParts};
use opentelemetry::Context;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport;
use tracing::{Metadata, error, subscriber::NoSubscriber};
use tracing_subscriber::{Layer, filter::FilterFn};

use super::{TelemetryError, logs::BoxedLayer};
use crate::config::ConsoleSettings;

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
    Ok((address, layer.with_filter(FilterFn::new(is_of_the_runtime)).boxed()))
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

/// Tokio's instrumentation of itself.
fn is_of_the_runtime(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("tokio")
        || metadata.target().starts_with("runtime")
        || metadata.name().starts_with("runtime.")
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
        tokio::spawn(aggregator.run());
        let router = transport::Server::builder().add_service(instrument_server);
        Ok(router.serve_with_incoming(TcpListenerStream::new(listener)).await?)
    })
}
