//! A task that blocks a worker: what the watchdog logs, and what a dump shows of it meanwhile.
//!
//! `cargo run --example slow_poll`

use std::{error::Error, sync::Arc, thread, time::Duration};

use opentelemetry::trace::SpanContext;
use runtime_insight::{Builder, Section, dump, in_section, spawn};
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{sleep, timeout},
};

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_target(false).init();
    let runtime = Builder::new().source_root(env!("CARGO_MANIFEST_DIR")).build()?;
    runtime.block_on(async {
        // Parked: it waits for an hour that does not end.
        spawn("cache refresh", sleep(Duration::from_hours(1)));
        // Running: it blocks its worker, as a call of a blocking library would.
        let section = Arc::new(Section { name: "parse report", span: SpanContext::NONE });
        let work = async { thread::sleep(Duration::from_millis(400)) };
        let blocking = spawn("nightly report", in_section(section, work));
        sleep(Duration::from_millis(100)).await;
        let runtime = Handle::current();
        let dump = spawn_blocking(move || dump::dump(&runtime, Duration::from_secs(1))).await?;
        match dump {
            Ok(dump) => println!("{}", serde_json::to_string_pretty(&dump)?),
            Err(unsupported) => println!("{unsupported}"),
        }
        timeout(Duration::from_secs(5), blocking).await??;
        Ok(())
    })
}
