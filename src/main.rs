//! The command line: settings, then the command.

use std::process::ExitCode;

use clap::FromArgMatches;
use colophon::{
    command,
    config::{self, Cli, Command},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let matches = match config::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => {
            eprint!("{}", config::explain(&error));
            return ExitCode::from(2);
        }
        // Help and version.
        Err(error) => error.exit(),
    };
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let settings = cli.settings;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => command::serve::run(settings).await,
        Command::Migrate { direction } => {
            command::migrate::run(direction, &settings.database).await
        }
        Command::Import { files, map } => {
            command::import::run(&files, &map, &settings.database).await
        }
        Command::Schema => command::schema::run(&settings.limits),
        Command::Config => command::config::run(&matches),
    }
}
