//! The effective settings and where each comes from, secrets masked: what `colophon config` prints and the
//! admin UI shows.

use clap::parser::ValueSource;

use super::{command, default_trace_store, files, mask};

/// One line of `colophon config`.
#[derive(Debug)]
pub struct EffectiveSetting {
    /// The flag, such as `--listen`; empty for OpenTelemetry's variables.
    pub flag: String,
    /// The environment variable.
    pub variable: String,
    /// The effective value, masked.
    pub value: String,
    /// Which of flag, variable, file and default it comes from.
    pub source: &'static str,
}

/// The effective settings of a parsed command line, each with its origin; and of OpenTelemetry's variables,
/// which are not the service's settings, those that are set.
#[must_use]
pub fn effective_settings(matches: &clap::ArgMatches) -> Vec<EffectiveSetting> {
    // clap reports global arguments with the innermost command that they were given at.
    let mut innermost = matches;
    while let Some((_, deeper)) = innermost.subcommand() {
        innermost = deeper;
    }
    let command = command();
    let settings = command.get_arguments().filter(|arg| arg.is_global_set());
    settings.filter_map(|arg| effective(arg, innermost)).chain(open_telemetry()).collect()
}

fn effective(arg: &clap::Arg, matches: &clap::ArgMatches) -> Option<EffectiveSetting> {
    let id = arg.get_id().as_str();
    let value = match matches.get_raw(id) {
        Some(values) => values.map(|v| v.to_string_lossy()).collect::<Vec<_>>().join(" "),
        None if arg.get_action().takes_values() => dependent_default(id, matches),
        None => matches.get_flag(id).to_string(),
    };
    let source = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "flag",
        Some(ValueSource::EnvVariable) => "environment",
        _ if files::is_in_file(arg) => "file",
        _ => "default",
    };
    Some(EffectiveSetting {
        flag: format!("--{}", arg.get_long()?),
        variable: arg.get_env()?.to_string_lossy().into_owned(),
        value: shown(arg, &value),
        source,
    })
}

/// The default of a setting that depends on another one.
fn dependent_default(id: &str, matches: &clap::ArgMatches) -> String {
    let is_production = matches.get_flag("production");
    match id {
        "admin_ui" => (!is_production).to_string(),
        "trace_store" => default_trace_store(is_production).to_string(),
        _ => String::new(),
    }
}

fn open_telemetry() -> impl Iterator<Item = EffectiveSetting> {
    let mut set: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")).collect();
    set.sort();
    set.into_iter().map(|(variable, value)| {
        // Tokens, mostly.
        let is_secret = variable.ends_with("HEADERS");
        let value = if is_secret { "***".to_owned() } else { mask(&value) };
        EffectiveSetting { flag: String::new(), variable, value, source: "environment" }
    })
}

/// What may be seen of a setting's value: of a URL all but its password, of another secret nothing.
pub(super) fn shown(arg: &clap::Arg, value: &str) -> String {
    let is_url = arg.get_id() == "database_url";
    if files::is_secret(arg) && !is_url && !value.is_empty() {
        "***".to_owned()
    } else {
        mask(value)
    }
}
