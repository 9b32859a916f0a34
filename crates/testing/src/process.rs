//! The program as a process: which one is run, in which environment, and what it wrote.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// The program that is built with the tests or, where COLOPHON_TEST_PROGRAM names one, another build of
/// it; with nothing of our environment that it would read.
pub fn program(arguments: &[&str]) -> Command {
    let named = std::env::var_os("COLOPHON_TEST_PROGRAM");
    let mut command = Command::new(named.map_or_else(built, PathBuf::from));
    for (name, _) in std::env::vars() {
        let is_ours =
            ["COLOPHON_", "OTEL_", "TOKIO_"].iter().any(|prefix| name.starts_with(prefix));
        if is_ours || name == "DATABASE_URL" || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    // With backtraces, the first fault has its answer wait until all debug information is read.
    command.env_remove("RUST_BACKTRACE");
    // On a busy machine any poll may be slow; tests that look for it say so.
    command.env("COLOPHON_SLOW_POLL", "10s");
    // Nor is who waits for a place refused, but where that is tested.
    command.env("COLOPHON_QUEUE_WAIT", "20s");
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The program that Cargo builds for the tests of its package, above the folder of their own programs.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().with_file_name("colophon")
}

/// What a command wrote to standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
