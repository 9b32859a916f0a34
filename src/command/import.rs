//! `colophon import`, and the sample.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{FAILURE, SOME_REFUSED, fail, log_migrations};
use crate::{
    books::{
        filter::BookFilter,
        import::{self, Mapping, Report, Summary},
        store,
    },
    config::database::DatabaseSettings,
    database::Database,
    error::{Error, Result},
};

/// Some hundred classics.
const SAMPLE: &str = include_str!("../books/sample.csv");

/// Imports files and tells what became of their rows.
pub async fn run(files: &[PathBuf], maps: &[Mapping], settings: &DatabaseSettings) -> ExitCode {
    log_migrations();
    let url = &settings.database_url;
    let db = match Database::open(settings).await {
        Ok(db) => db,
        Err(error) => return fail(format_args!("cannot open {url}: {error}")),
    };
    if let Err(error) = db.migrate_up().await {
        return fail(format_args!("cannot prepare {url}: {error}"));
    }
    let mapping = Mapping::merged(maps);
    let mut code = 0;
    for file in files {
        match import_file(&db, file, &mapping).await {
            Ok(summary) if summary.refused > 0 => code = code.max(SOME_REFUSED),
            Ok(_) => {}
            Err(error) => {
                eprintln!("error: {}: {error}", file.display());
                code = FAILURE;
                break;
            }
        }
    }
    db.close().await;
    ExitCode::from(code)
}

async fn import_file(db: &Database, path: &Path, mapping: &Mapping) -> Result<Summary> {
    let started = Instant::now();
    let (source, size) = open(path)
        .map_err(|error| Error::invalid(["file"], format!("cannot be opened: {error}")))?;
    let mut progress = Progress::new(path, size);
    let result = import::import(db, source, mapping, &mut progress).await;
    progress.bar.finish_and_clear();
    let summary = result?;
    let Summary { added, updated, unchanged, refused, without_isbn } = summary;
    println!(
        "{}: {added} added, {updated} updated, {unchanged} unchanged, {refused} refused \
         in {:.1} s; {without_isbn} went in without their ISBN, which was wrong",
        path.display(),
        started.elapsed().as_secs_f64()
    );
    Ok(summary)
}

fn open(path: &Path) -> io::Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok((Box::new(file), Some(metadata.len())))
}

/// A bar on a terminal, and refused rows on standard error.
struct Progress {
    file: String,
    bar: ProgressBar,
}

impl Progress {
    fn new(path: &Path, size: Option<u64>) -> Self {
        // Hides itself where standard error is no terminal.
        let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = "{wide_bar} {bytes}/{total_bytes} {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { file: path.display().to_string(), bar }
    }
}

impl Report for Progress {
    fn refused(&mut self, line: u64, reason: &str) {
        self.bar.suspend(|| eprintln!("{}:{line}: {reason}", self.file));
    }

    fn progress(&mut self, bytes: u64) {
        self.bar.set_position(bytes);
    }
}

/// Fills an empty catalogue with the sample.
///
/// # Errors
/// If the database fails.
pub async fn sample(db: &Database) -> Result<()> {
    if store::count(&db.reader(None), &BookFilter::default()).await? > 0 {
        return Ok(());
    }
    let Summary { added, .. } =
        import::import(db, SAMPLE.as_bytes(), &Mapping::default(), &mut Refusals).await?;
    tracing::info!(name: "sample.imported", books = added, "the empty catalogue got the sample");
    Ok(())
}

/// The sample is ours: a row of it that is refused is a mistake worth a line in the log.
struct Refusals;

impl Report for Refusals {
    fn refused(&mut self, line: u64, reason: &str) {
        tracing::warn!(name: "sample.refused", line, reason, "a row of the sample was refused");
    }

    fn progress(&mut self, _: u64) {}
}
