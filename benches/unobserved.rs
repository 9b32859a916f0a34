//! What the hot parts cost without telemetry, as with `OTEL_SDK_DISABLED=true`, and those that tell
//! nothing. `observed` has them with it. Whether the caller's trace is sampled is all the same here.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

#[path = "costs/compiler.rs"]
mod compiler;
#[path = "costs/documents.rs"]
mod documents;
#[path = "costs/operation.rs"]
mod operation;
#[path = "costs/statement.rs"]
mod statement;
#[path = "costs/support.rs"]
mod support;

/// As in the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}
