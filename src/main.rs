//! The command line: settings, then the command.

use std::process::ExitCode;

use clap::FromArgMatches;
use colophon::{
    cli,
    config::{self, Cli, Command},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let grammar = match config::files::with_secrets(config::files::without_empty(config::command()))
    {
        Ok(grammar) => grammar,
        Err(reason) => return cli::usage_error(reason),
    };
    let matches = match grammar.try_get_matches() {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => {
            eprint!("{}", config::explain(&error));
            return ExitCode::from(cli::BAD_SETTINGS);
        }
        // Help and version.
        Err(error) => error.exit(),
    };
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let settings = cli.settings;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => cli::serve::run(settings, config::effective_settings(&matches)),
        Command::Migrate { direction } => {
            cli::work(&settings, cli::migrate::run(direction, &settings.database))
        }
        Command::Import(import) => {
            cli::work(&settings, cli::import::run(&import, &settings.database))
        }
        Command::Schema => cli::schema::run(),
        Command::Config => cli::config::run(&matches),
        Command::Token { name, scope } => cli::token::run(&name, &scope),
        Command::Health => cli::in_runtime(cli::health::run(settings.http.admin_listen)),
    }
}
