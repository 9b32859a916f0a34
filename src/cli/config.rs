//! `colophon config`

use std::process::ExitCode;

use crate::{
    cli::print,
    config::{self, EffectiveSetting},
};

/// Prints the effective settings and where each comes from, secrets masked; of OpenTelemetry's
/// variables, which are not the service's settings, those that are set.
#[must_use]
pub fn run(matches: &clap::ArgMatches) -> ExitCode {
    let line = |EffectiveSetting { flag, variable, value, source }: EffectiveSetting| {
        format!("{flag:<22} {variable:<30} {source:<11} {value}\n")
    };
    print(&config::effective_settings(matches).into_iter().map(line).collect::<String>())
}
