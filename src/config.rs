//! The settings: flags, environment variables and defaults, in that order. Each field's
//! doc is its help text; the flag, the variable and the default stand beside it.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::{ArgAction, Args, Parser, Subcommand, parser::ValueSource};
use sea_orm::sqlx::{postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::{
    books::import::Mapping,
    graphql::guard::Limits,
    telemetry::{database::CommentMode, export::lines::LogFormat},
};

/// A GraphQL catalogue of books that can tell how each of its answers was made.
///
/// Without a command it serves. Each setting is a flag or an environment variable; the flag
/// wins. `colophon config` shows what they come to.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings, which can also be given behind the command.
    #[command(flatten)]
    pub settings: Settings,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the catalogue (the default)
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
    /// importing a file twice changes nothing. Rows that cannot go in are told with their line and
    /// the reason, and the rest go in. Exit code 0: every row went in; 3: some were refused;
    /// 1: the import was broken off, and can be repeated.
    Import {
        /// Files to import; - is standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The column for a field: title, authors, isbn, isbn13, year, language or pages
        #[arg(long, value_name = "FIELD=COLUMN")]
        map: Vec<Mapping>,
    },
    /// Print the GraphQL schema
    Schema,
    /// Print the effective settings and where each comes from, secrets masked
    Config,
    /// Ask the service that runs with these settings whether it is ready (exit code 0) or not (1)
    Health,
}

/// What to do with the schema.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Migrate {
    /// Apply all migrations that have not been
    Up,
    /// Take back migrations, newest first; without --steps all of them, with all data
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
    /// What documents may cost.
    #[command(flatten)]
    pub limits: Limits,
    /// The asynchronous runtime, and looking into it.
    #[command(flatten)]
    pub runtime: RuntimeSettings,
    /// Fill an empty catalogue with some hundred classics before serving
    #[arg(long, global = true, env = "COLOPHON_SAMPLE", help_heading = "Serving",
        value_parser = switch)]
    pub sample: bool,
    /// Give spans the text of GraphQL documents, without their literals
    #[arg(long, global = true, env = "COLOPHON_TRACE_DOCUMENTS", help_heading = "Telemetry",
        value_parser = switch)]
    pub trace_documents: bool,
    /// Which log lines to write (a tracing filter, such as debug or colophon=debug,info)
    #[arg(long, global = true, env = "RUST_LOG", default_value = "info,sqlx=warn", value_parser = log_filter,
        value_name = "FILTER", help_heading = "Logs")]
    pub log: String,
    /// How log lines look; auto is pretty on a terminal and JSON otherwise
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

/// The database and its pool.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// sqlite://FILE?mode=rwc or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite://colophon.db?mode=rwc",
        value_name = "URL"
    )]
    pub database_url: DatabaseUrl,
    /// Connections in the pool; on SQLite those that read, beside the one that writes
    #[arg(long, global = true, env = "COLOPHON_POOL_SIZE", default_value = "16",
        value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub pool_size: u32,
    /// How long to wait for a connection of the pool
    #[arg(long, global = true, env = "COLOPHON_POOL_WAIT", default_value = "1s",
        value_parser = duration, value_name = "TIME")]
    pub pool_wait: Duration,
    /// Which comments statements get, for the database's administrator: off, tags (application,
    /// route and root field) or traceparent (the trace besides, for statements that are traced)
    #[arg(
        long,
        global = true,
        env = "COLOPHON_SQLCOMMENTER",
        default_value = "off",
        value_name = "MODE"
    )]
    pub sqlcommenter: CommentMode,
    /// How long a statement may run (PostgreSQL)
    #[arg(long, global = true, env = "COLOPHON_STATEMENT_TIMEOUT", default_value = "3s",
        value_parser = duration, value_name = "TIME")]
    pub statement_timeout: Duration,
}

/// The listeners.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Serving")]
pub struct HttpSettings {
    /// Where to serve the catalogue
    #[arg(long, global = true, env = "COLOPHON_LISTEN", default_value = "127.0.0.1:8000",
        value_parser = address, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where to serve /livez, /readyz and /metrics
    #[arg(long, global = true, env = "COLOPHON_ADMIN_LISTEN", default_value = "127.0.0.1:9464",
        value_parser = address, value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,
    /// Open connections in all; further ones wait to be accepted
    #[arg(long, global = true, env = "COLOPHON_MAX_CONNECTIONS", default_value = "1024",
        value_parser = positive, value_name = "N")]
    pub max_connections: usize,
    /// How long the head of a request may take to arrive, and how long its body
    #[arg(long, global = true, env = "COLOPHON_REQUEST_TIMEOUT", default_value = "10s",
        value_parser = duration, value_name = "TIME")]
    pub request_timeout: Duration,
    /// How long a GraphQL operation may take
    #[arg(long, global = true, env = "COLOPHON_OPERATION_TIMEOUT", default_value = "5s",
        value_parser = duration, value_name = "TIME")]
    pub operation_timeout: Duration,
    /// How long requests in flight may take to finish after SIGTERM
    #[arg(long, global = true, env = "COLOPHON_DRAIN_TIMEOUT", default_value = "10s",
        value_parser = duration, value_name = "TIME")]
    pub drain_timeout: Duration,
    /// How long the last telemetry may take to leave after that
    #[arg(long, global = true, env = "COLOPHON_FLUSH_TIMEOUT", default_value = "5s",
        value_parser = duration, value_name = "TIME")]
    pub flush_timeout: Duration,
}

/// The asynchronous runtime, and looking into it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Runtime")]
pub struct RuntimeSettings {
    /// Whether to measure tasks and polls: the profile of each operation, slow polls, histograms
    #[arg(long, global = true, env = "COLOPHON_RUNTIME_PROFILING", default_value = "true",
        value_parser = switch, action = ArgAction::Set, value_name = "true|false")]
    pub runtime_profiling: bool,
    /// From when on a poll that holds a worker is slow: counted, and told in the log
    #[arg(long, global = true, env = "COLOPHON_SLOW_POLL", default_value = "10ms",
        value_parser = duration, value_name = "TIME")]
    pub slow_poll: Duration,
    /// How long all workers may be blocked before /livez says so
    #[arg(long, global = true, env = "COLOPHON_STALL_LIMIT", default_value = "5s",
        value_parser = duration, value_name = "TIME")]
    pub stall_limit: Duration,
    /// tokio-console.
    #[command(flatten)]
    pub console: ConsoleSettings,
    /// Keep a recording of the last minutes at all times, not only when asked for one
    #[arg(long, global = true, env = "COLOPHON_FLIGHT_RECORDER", value_parser = switch)]
    pub flight_recorder: bool,
    /// What a recording may take, in MiB; of a longer one the end is kept
    #[arg(long, global = true, env = "COLOPHON_RECORDING_SIZE", default_value = "64",
        value_parser = clap::value_parser!(u16).range(4..=1024), value_name = "MIB")]
    pub recording_size: u16,
    /// Add fields that misbehave on purpose, to see what that looks like (on loopback only)
    #[arg(long, global = true, env = "COLOPHON_LAB", value_parser = switch)]
    pub lab: bool,
}

/// tokio-console, with the variables that console-subscriber knows.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Runtime")]
pub struct ConsoleSettings {
    /// Let tokio-console in
    #[arg(long = "tokio-console", global = true, env = "TOKIO_CONSOLE", value_parser = switch)]
    pub enabled: bool,
    /// Where tokio-console connects to; whoever can, sees all tasks
    #[arg(long = "tokio-console-bind", global = true, env = "TOKIO_CONSOLE_BIND",
        default_value = "127.0.0.1:6669", value_parser = host_and_port, value_name = "HOST:PORT")]
    pub bind: SocketAddr,
    /// How long tokio-console is told of tasks that have ended
    #[arg(long = "tokio-console-retention", global = true, env = "TOKIO_CONSOLE_RETENTION",
        default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub retention: Duration,
    /// How often tokio-console is told of what is new
    #[arg(long = "tokio-console-publish-interval", global = true,
        env = "TOKIO_CONSOLE_PUBLISH_INTERVAL", default_value = "1s", value_parser = duration,
        value_name = "TIME")]
    pub publish_interval: Duration,
    /// Events that wait to be counted for tokio-console; those beyond are lost to it
    #[arg(long = "tokio-console-buffer-capacity", global = true,
        env = "TOKIO_CONSOLE_BUFFER_CAPACITY", default_value = "102400", value_parser = capacity,
        value_name = "N")]
    pub buffer_capacity: usize,
    /// A file to write all of it to
    #[arg(
        long = "tokio-console-record-path",
        global = true,
        env = "TOKIO_CONSOLE_RECORD_PATH",
        value_name = "FILE"
    )]
    pub record_path: Option<PathBuf>,
}

/// The URL of a database of a kind that is supported. Shown without its password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(String),
    /// A server.
    Postgres(String),
}

impl DatabaseUrl {
    /// The URL with its password.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let (Self::Sqlite(url) | Self::Postgres(url)) = self;
        url
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("sqlite:") {
            text.parse::<SqliteConnectOptions>().map_err(|error| error.to_string())?;
            Ok(Self::Sqlite(text.to_owned()))
        } else if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            text.parse::<PgConnectOptions>().map_err(|error| error.to_string())?;
            Ok(Self::Postgres(text.to_owned()))
        } else {
            Err("must begin with sqlite: or postgres://".to_owned())
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(self.as_str()))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `text` without the password if it is a URL with one, and without all that could hold one
/// if it is something like a URL.
#[must_use]
pub fn mask(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return match (text.find("://"), text.rfind('@')) {
            (Some(start), Some(end)) if start < end => {
                format!("{}***{}", &text[..start + 3], &text[end..])
            }
            _ => text.to_owned(),
        };
    };
    let secret = |key: &str| key.contains("password") || key.contains("key");
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if url.password().is_none() && !pairs.iter().any(|(key, _)| secret(key)) {
        return text.to_owned();
    }
    if url.password().is_some() {
        // Fails only for URLs that cannot have a password.
        let _ = url.set_password(Some("***"));
    }
    if !pairs.is_empty() {
        let masked = pairs
            .iter()
            .map(|(key, value)| (key.as_str(), if secret(key) { "***" } else { value.as_str() }));
        url.query_pairs_mut().clear().extend_pairs(masked);
    }
    url.into()
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8000".to_owned())
}

fn host_and_port(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found
        .ok_or_else(|| "must be a host that is known and a port, such as localhost:6669".to_owned())
}

fn capacity(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1024..=10_000_000).contains(number))
        .ok_or_else(|| "must be a number from 1024 to 10000000".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .ok()
        .filter(|time| (Duration::from_millis(1)..=Duration::from_hours(24)).contains(time))
        .ok_or_else(|| "must be a time from 1ms to 24h, such as 500ms, 10s or 1m".to_owned())
}

/// A whole number from 1 on.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "must be a whole number from 1 on".to_owned())
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| {
        format!("must be a tracing filter such as info or colophon=debug,info ({error})")
    })
}

/// One line of `colophon config`.
#[derive(Debug)]
pub struct Origin {
    /// The flag, such as `--listen`.
    pub flag: String,
    /// The environment variable.
    pub variable: String,
    /// The effective value, masked.
    pub value: String,
    /// Which of flag, variable and default it comes from.
    pub source: &'static str,
}

/// The effective settings of a parsed command line, each with its origin.
#[must_use]
pub fn origins(matches: &clap::ArgMatches) -> Vec<Origin> {
    // Global arguments are told with the innermost command they were seen at.
    let mut innermost = matches;
    while let Some((_, deeper)) = innermost.subcommand() {
        innermost = deeper;
    }
    let command = command();
    let settings = command.get_arguments().filter(|arg| arg.is_global_set());
    settings
        .filter_map(|arg| {
            let id = arg.get_id().as_str();
            let value = match innermost.get_raw(id) {
                Some(values) => values.map(|v| v.to_string_lossy()).collect::<Vec<_>>().join(" "),
                None if arg.get_action().takes_values() => String::new(),
                None => innermost.get_flag(id).to_string(),
            };
            let source = match innermost.value_source(id) {
                Some(ValueSource::CommandLine) => "flag",
                Some(ValueSource::EnvVariable) => "environment",
                _ => "default",
            };
            Some(Origin {
                flag: format!("--{}", arg.get_long()?),
                variable: arg.get_env()?.to_string_lossy().into_owned(),
                value: mask(&value),
                source,
            })
        })
        .collect()
}

/// The command line's grammar.
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// What to tell of a command line that cannot be used. For a bad value that is the setting with
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
    let variable = setting.and_then(clap::Arg::get_env).map(|name| name.to_string_lossy());
    let Some(variable) = variable else { return error.to_string() };
    let value = mask(&context(ContextKind::InvalidValue));
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
    fn the_grammar_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn passwords_are_masked_wherever_they_stand() {
        for secret in [
            "postgres://ada:s3cret@db/books",
            "postgres://db/books?user=ada&password=s3cret",
            "postgres://ada:s3cret@db:port/books",
        ] {
            assert!(!mask(secret).contains("s3cret"), "{}", mask(secret));
        }
        assert_eq!(mask("sqlite://colophon.db?mode=rwc"), "sqlite://colophon.db?mode=rwc");
    }

    #[test]
    fn a_bad_value_is_explained() {
        let error = Cli::try_parse_from(["colophon", "--listen", "here"]).unwrap_err();
        let text = explain(&error);
        for part in ["--listen", "COLOPHON_LISTEN", "'here'", "127.0.0.1:8000"] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
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
