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
    let ours = config::effective_settings(matches).into_iter().map(line);
    print(&ours.chain(open_telemetry()).collect::<String>())
}

fn open_telemetry() -> impl Iterator<Item = String> {
    let mut set: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")).collect();
    set.sort();
    set.into_iter().map(|(name, value)| {
        // Tokens, mostly.
        let value = if name.ends_with("HEADERS") { "***".to_owned() } else { config::mask(&value) };
        format!("{:<22} {name:<30} {:<11} {value}\n", "", "environment")
    })
}
