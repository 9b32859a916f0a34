//! `colophon config`

use std::process::ExitCode;

use super::print;
use crate::config::{self, Origin};

/// Prints the effective settings and where each comes from, secrets masked.
#[must_use]
pub fn run(matches: &clap::ArgMatches) -> ExitCode {
    let line = |Origin { flag, variable, value, source }: Origin| {
        format!("{flag:<22} {variable:<30} {source:<11} {value}\n")
    };
    print(&config::origins(matches).into_iter().map(line).collect::<String>())
}
