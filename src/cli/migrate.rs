//! `colophon migrate up|down|status`

use std::process::ExitCode;

use crate::{
    cli::fail,
    config::{Migrate, database::DatabaseSettings},
    database::Database,
    error::Result,
};

/// Changes or shows the state of the schema.
pub async fn run(direction: Migrate, settings: &DatabaseSettings) -> ExitCode {
    let url = &settings.database_url;
    let db = match Database::open(settings).await {
        Ok(db) => db,
        Err(error) => return fail(format_args!("cannot open {url}: {error}")),
    };
    let result = migrate(direction, &db).await;
    db.close().await;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("cannot migrate {url}: {error}")),
    }
}

async fn migrate(direction: Migrate, db: &Database) -> Result<()> {
    match direction {
        Migrate::Up => db.migrate_up().await?,
        Migrate::Down { steps } => db.migrate_down(steps).await?,
        Migrate::Status => {}
    }
    for (name, applied) in db.migrations().await? {
        println!("{} {name}", if applied { "applied" } else { "pending" });
    }
    Ok(())
}
