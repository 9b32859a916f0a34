//! The command line: settings, then the command.

use std::process::ExitCode;

use clap::FromArgMatches;
use colophon::{
    command,
    config::{self, Cli, Command},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let grammar = match config::files::with_secrets(config::files::without_empty(config::command()))
    {
        Ok(grammar) => grammar,
        Err(reason) => return command::refuse(reason),
    };
    let matches = match grammar.try_get_matches() {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => {
            eprint!("{}", config::explain(&error));
            return ExitCode::from(command::BAD_SETTINGS);
        }
        // Help and version.
        Err(error) => error.exit(),
    };
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let settings = cli.settings;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => command::serve::run(settings),
        Command::Migrate { direction } => {
            command::work(&settings, command::migrate::run(direction, &settings.database))
        }
        Command::Import(import) => {
            command::work(&settings, command::import::run(&import, &settings.database))
        }
        Command::Schema => command::schema::run(),
        Command::Config => command::config::run(&matches),
        Command::Token { name, scope } => command::token::run(&name, &scope),
        Command::Health => command::in_runtime(command::health::run(settings.http.admin_listen)),
    }
}
