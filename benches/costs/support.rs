//! What several benchmarks take.

use std::fmt;

use clap::Parser;
use colophon::{
    config::{Cli, Settings},
    database::Database,
};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tokio::runtime::{Builder, Runtime};

/// The caller's trace, which says whether ours is recorded.
#[derive(Clone, Copy)]
pub enum Trace {
    Sampled,
    NotSampled,
}

impl Trace {
    pub const ALL: [Self; 2] = [Self::Sampled, Self::NotSampled];

    pub fn context(self) -> Context {
        let flags = match self {
            Self::Sampled => TraceFlags::SAMPLED,
            Self::NotSampled => TraceFlags::NOT_SAMPLED,
        };
        let (trace, span) = (TraceId::from(1), SpanId::from(1));
        let caller = SpanContext::new(trace, span, flags, true, TraceState::NONE);
        Context::new().with_remote_span_context(caller)
    }
}

/// As the table of results has it.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sampled => "sampled",
            Self::NotSampled => "not sampled",
        })
    }
}

/// The defaults, and a database in memory.
pub fn settings() -> Settings {
    Cli::parse_from(["colophon", "--database-url", "sqlite::memory:"]).settings
}

pub fn database(runtime: &Runtime) -> Database {
    runtime.block_on(Database::open(&settings().database)).unwrap()
}

/// Of one thread, so that no worker has to be woken.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
