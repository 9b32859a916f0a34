//! `colophon config`

use crate::config;

/// Prints the effective settings and where each comes from, secrets masked.
pub fn run(matches: &clap::ArgMatches) {
    for origin in config::origins(matches) {
        println!(
            "{:<22} {:<30} {:<11} {}",
            origin.flag, origin.variable, origin.source, origin.value
        );
    }
}
