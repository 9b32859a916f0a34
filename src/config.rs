//! The settings: flags, environment variables and defaults, in that order. Each field's
//! doc is its help text; the flag, the variable and the default stand beside it.

pub mod database;
pub mod documents;
mod effective;
pub mod files;
pub mod http;
pub mod import;
pub mod limits;
pub mod runtime;
pub mod security;
pub mod values;

use clap::{Args, Parser, Subcommand};
pub use database::mask;
pub use effective::{EffectiveSetting, effective_settings};
use graphql_telemetry::{logs::LogFormat, trace_store::TraceStoreOptions};
use tracing_subscriber::filter::Targets;

use self::{
    database::DatabaseSettings,
    documents::DocumentSettings,
    effective::shown,
    http::HttpSettings,
    import::ImportSettings,
    limits::Limits,
    runtime::RuntimeSettings,
    security::SecuritySettings,
    values::{log_filter, switch, token_name, trace_url},
};
use crate::security::scopes::Scope;

/// An observable GraphQL service: a catalog of books with traces, metrics and profiles.
///
/// The default command is serve. Each setting is a flag or an environment variable; the flag
/// wins. Secrets can be read from a file named by the variable with the suffix _FILE.
/// `colophon config` prints the effective settings.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// The command (default: serve).
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings, also accepted after the command.
    #[command(flatten)]
    pub settings: Settings,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the catalog (the default)
    Serve,
    /// Change or show the state of the database schema
    Migrate {
        /// What to do with the schema
        #[command(subcommand)]
        direction: Migrate,
    },
    /// Import books from CSV files with a header row
    ///
    /// A row is the book with its ISBN or, without one, the book of its title, year and authors;
    /// importing a file twice changes nothing. Which columns fill which fields is reported before the
    /// first row. A row without a readable title is rejected and reported with its line and the reason.
    /// An ISBN, year, language or number of pages that cannot be read is left out and reported. Exit
    /// code 0: every row was imported; 3: some were rejected; 1: the import failed, and can be repeated.
    Import(ImportSettings),
    /// Print the GraphQL schema
    Schema,
    /// Print the effective settings and where each comes from, secrets masked
    Config,
    /// Create a token: print it, and its line for the file named by COLOPHON_TOKENS_FILE
    Token {
        /// The name of its owner, such as importer
        #[arg(long, value_parser = token_name)]
        name: String,
        /// A scope: books:read or books:write; repeat --scope for several
        #[arg(long, required = true)]
        scope: Vec<Scope>,
    },
    /// Check whether the service with these settings is ready (exit code 0) or not (1)
    Health,
}

/// What to do with the schema.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Migrate {
    /// Apply all pending migrations
    Up,
    /// Revert migrations, newest first; without --steps all of them, with all data
    Down {
        /// How many
        #[arg(long)]
        steps: Option<u32>,
    },
    /// List the migrations and whether they are applied
    Status,
}

/// Every setting.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// The database and its pool.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// The listeners.
    #[command(flatten)]
    pub http: HttpSettings,
    /// Who may ask.
    #[command(flatten)]
    pub security: SecuritySettings,
    /// What requests and documents may cost.
    #[command(flatten)]
    pub limits: Limits,
    /// Trusted documents and automatic persisted queries.
    #[command(flatten)]
    pub documents: DocumentSettings,
    /// The asynchronous runtime, and looking into it.
    #[command(flatten)]
    pub runtime: RuntimeSettings,
    /// Fill an empty catalog with a hundred classics before serving
    #[arg(long, global = true, env = "COLOPHON_SAMPLE", help_heading = "Serving",
        value_parser = switch)]
    pub sample: bool,
    /// Record the text of GraphQL documents in spans, without literals
    #[arg(long, global = true, env = "COLOPHON_TRACE_DOCUMENTS", help_heading = "Telemetry",
        value_parser = switch)]
    pub trace_documents: bool,
    /// Trust the sampled flag of callers' traceparent headers
    #[arg(long, global = true, env = "COLOPHON_TRUST_CALLER_SAMPLING",
        help_heading = "Telemetry", value_parser = switch)]
    pub trust_caller_sampling: bool,
    /// Which spans of tracing to export beside those of requests (a tracing filter without fields, such as
    /// colophon=info,h2=debug)
    #[arg(
        long,
        global = true,
        env = "COLOPHON_TRACE_FILTER",
        default_value = "colophon=info",
        help_heading = "Telemetry",
        value_name = "FILTER"
    )]
    pub trace_filter: Targets,
    /// Memory for recent traces in the process, in MiB, for the playground and the admin UI; 0 stores none (default: 16,
    /// with --production 0)
    #[arg(
        long,
        global = true,
        env = "COLOPHON_TRACE_STORE",
        help_heading = "Telemetry",
        value_name = "MIB"
    )]
    pub trace_store: Option<u16>,
    /// The address of a trace in a tracing back end, with {trace_id} where its id stands, to link to
    #[arg(long, global = true, env = "COLOPHON_TRACE_URL", help_heading = "Telemetry",
        value_parser = trace_url, value_name = "URL")]
    pub trace_url: Option<String>,
    /// Which log lines to write (a tracing filter, such as debug or colophon=debug,info)
    #[arg(long, global = true, env = "RUST_LOG", default_value = "info,sqlx=warn", value_parser = log_filter,
        value_name = "FILTER", help_heading = "Logs")]
    pub log: String,
    /// The format of log lines; auto is pretty on a terminal and JSON otherwise
    #[arg(
        long,
        global = true,
        env = "COLOPHON_LOG_FORMAT",
        default_value = "auto",
        value_name = "FORMAT",
        help_heading = "Logs"
    )]
    pub log_format: LogFormat,
}

impl Settings {
    /// Which recent traces to store, if any.
    #[must_use]
    pub fn trace_store(&self) -> Option<TraceStoreOptions> {
        let default = || default_trace_store(self.security.production);
        let mebibytes = usize::from(self.trace_store.unwrap_or_else(default));
        let backend_url = self.trace_url.clone();
        (mebibytes > 0).then_some(TraceStoreOptions { bytes: mebibytes << 20, backend_url })
    }

    /// Whether the admin listener serves the admin UI.
    #[must_use]
    pub fn serves_admin_ui(&self) -> bool {
        self.http.admin_ui.unwrap_or(!self.security.production)
    }
}

/// Memory for recent traces, in MiB, unless set.
const fn default_trace_store(is_production: bool) -> u16 {
    if is_production { 0 } else { 16 }
}

/// The command line's grammar.
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// The message for a command line that cannot be used. For a bad value that is the setting with
/// its variable, the value (masked: it may be a URL with a password) and what would be right.
#[must_use]
pub fn explain(error: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    let flag = argument.split_whitespace().next().unwrap_or_default();
    let command = command();
    let setting = command
        .get_arguments()
        .find(|arg| arg.get_long().is_some_and(|long| flag == format!("--{long}")));
    let Some(setting) = setting else { return error.to_string() };
    let Some(variable) = setting.get_env().map(|name| name.to_string_lossy()) else {
        return error.to_string();
    };
    let value = shown(setting, &context(ContextKind::InvalidValue));
    let right = match error.kind() {
        ErrorKind::ValueValidation => {
            std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
        }
        ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(values)) => format!("must be one of {}", values.join(", ")),
            _ => "must not be empty".to_owned(),
        },
        _ => return error.to_string(),
    };
    format!("error: {flag} (or {variable}) cannot be '{value}': {right}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        command().debug_assert();
    }

    #[test]
    fn explains_a_bad_value() {
        let error = Cli::try_parse_from(["colophon", "--listen", "here"]).unwrap_err();
        let text = explain(&error);
        for part in ["--listen", "COLOPHON_LISTEN", "'here'", "127.0.0.1:8000"] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }

    #[test]
    fn serves_the_admin_ui_unless_in_production() {
        let serves = |arguments: &[&str]| {
            let arguments = [&["colophon"], arguments].concat();
            Cli::try_parse_from(arguments).unwrap().settings.serves_admin_ui()
        };
        assert!(serves(&[]));
        assert!(!serves(&["--admin-ui", "false"]));
        assert!(!serves(&["--production"]));
        assert!(serves(&["--production", "--admin-ui", "true"]));
    }

    #[test]
    fn every_setting_has_a_flag_and_a_variable() {
        let command = command();
        for arg in command.get_arguments().filter(|arg| arg.is_global_set()) {
            assert!(arg.get_long().is_some() && arg.get_env().is_some(), "{}", arg.get_id());
            assert!(arg.get_help().is_some(), "{} has no help", arg.get_id());
        }
    }
}
