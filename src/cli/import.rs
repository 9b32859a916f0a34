//! `colophon import`, and the sample.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    catalog::{
        books::{self, filter::BookFilter},
        import::{
            self, CheckSummary, Field, Layout, ReadOptions, Report, Summary, UnreadCounts,
            UnreadValue,
        },
    },
    cli::{FAILURE, SOME_REFUSED, fail, print},
    config::{database::DatabaseSettings, import::ImportSettings},
    database::Database,
    error::{Error, Result},
};

/// Some hundred classics.
const SAMPLE: &str = include_str!("../catalog/sample.csv");

/// Values that cannot be read, of one field in one file, after which further ones are only counted.
const UNREAD_LINES: u64 = 20;

/// Imports files, or checks them, and reports what became of their rows.
pub async fn run(import: &ImportSettings, settings: &DatabaseSettings) -> ExitCode {
    let options = import.read_options();
    if import.dry_run {
        return each(&import.files, async |file| check_file(file, &options)).await;
    }
    let url = &settings.database_url;
    let db = match Database::open(settings).await {
        Ok(db) => db,
        Err(error) => return fail(format_args!("cannot open {url}: {error}")),
    };
    if let Err(error) = db.migrate_up().await {
        return fail(format_args!("cannot prepare {url}: {error}"));
    }
    let code = each(&import.files, async |file| import_file(&db, file, &options).await).await;
    db.close().await;
    code
}

/// Works off the files until one fails. `work` returns how many rows were rejected.
async fn each(files: &[PathBuf], work: impl AsyncFn(&Path) -> Result<u64>) -> ExitCode {
    let mut code = 0;
    for file in files {
        match work(file).await {
            Ok(0) => {}
            Ok(_) => code = SOME_REFUSED,
            Err(error) => {
                eprintln!("error: {}: {error}", file.display());
                return ExitCode::from(FAILURE);
            }
        }
    }
    ExitCode::from(code)
}

async fn import_file(db: &Database, path: &Path, options: &ReadOptions) -> Result<u64> {
    let started = Instant::now();
    let (source, mut progress) = open(path)?;
    let result = import::import(db, source, options, &mut progress).await;
    progress.bar.finish_and_clear();
    let Summary { added, updated, unchanged, refused, unread } = result?;
    let _ = print(&format!(
        "{}: {added} added, {updated} updated, {unchanged} unchanged, {refused} refused \
         in {:.1} s{}\n",
        path.display(),
        started.elapsed().as_secs_f64(),
        went_in_without(unread)
    ));
    Ok(refused)
}

fn check_file(path: &Path, options: &ReadOptions) -> Result<u64> {
    let (source, mut progress) = open(path)?;
    let result = import::check(source, options, &mut progress);
    progress.bar.finish_and_clear();
    let CheckSummary { accepted, refused, unread } = result?;
    let _ = print(&format!(
        "{}: dry run, nothing was written: {accepted} rows can be imported, {refused} refused{}\n",
        path.display(),
        went_in_without(unread)
    ));
    Ok(refused)
}

/// The end of a summary: how many rows went in without which values.
fn went_in_without(unread: UnreadCounts) -> String {
    const NAMES: [(Field, &str); 4] = [
        (Field::Isbn, "ISBN"),
        (Field::Year, "year"),
        (Field::Language, "language"),
        (Field::Pages, "pages"),
    ];
    let counted = NAMES.map(|(field, name)| (unread.of(field), name));
    let counted = counted.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = counted
        .enumerate()
        .map(|(i, (count, name))| {
            let verb = if i == 0 { " went in" } else { "" };
            format!("{count}{verb} without their {name}")
        })
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    format!("; {}, which could not be read", parts.join(", "))
}

/// A file as a stream, which moves the bar as it is read.
fn open(path: &Path) -> Result<(impl Read + Send + use<>, Progress)> {
    let (source, size) = source(path)
        .map_err(|error| Error::invalid(["file"], format!("cannot be opened: {error}")))?;
    let progress = Progress::new(path, size);
    Ok((progress.bar.wrap_read(source), progress))
}

fn source(path: &Path) -> io::Result<(Box<dyn Read + Send>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok((Box::new(file), Some(metadata.len())))
}

/// A bar on a terminal; the layout on standard output; refused rows and unread values on standard
/// error.
struct Progress {
    file: String,
    bar: ProgressBar,
    reported: UnreadLines,
}

/// How many values of each field were reported one by one.
#[derive(Default)]
struct UnreadLines([u64; Field::ALL.len()]);

impl Progress {
    fn new(path: &Path, size: Option<u64>) -> Self {
        // Hides itself where standard error is no terminal.
        let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = "{wide_bar} {bytes}/{total_bytes} {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { file: path.display().to_string(), bar, reported: UnreadLines::default() }
    }
}

impl Report for Progress {
    fn layout(&mut self, layout: &Layout) {
        let text = format!("{}: {}", self.file, describe(layout));
        let _ = self.bar.suspend(|| print(&text));
    }

    fn refused(&mut self, line: u64, reason: &str) {
        self.bar.suspend(|| eprintln!("{}:{line}: {reason}", self.file));
    }

    fn unread(&mut self, line: u64, UnreadValue { field, value }: &UnreadValue) {
        let (file, field_name) = (&self.file, field.name());
        let lines = &mut self.reported.0[*field as usize];
        *lines += 1;
        if *lines <= UNREAD_LINES {
            let end = if *lines == UNREAD_LINES { "; further ones are only counted" } else { "" };
            let message = format!("{file}:{line}: left out {field_name}: {value:?}{end}");
            self.bar.suspend(|| eprintln!("{message}"));
        }
    }
}

/// Which columns fill which fields, a field a line, and which columns are not used.
fn describe(layout: &Layout) -> String {
    let delimiter = match layout.delimiter {
        b',' => "comma".to_owned(),
        b';' => "semicolon".to_owned(),
        b'\t' => "tab".to_owned(),
        b'|' => "pipe".to_owned(),
        other => char::from(other).to_string(),
    };
    let mut text = format!("encoding {}, delimiter {delimiter}\n", layout.encoding.name());
    for (field, columns) in layout.used.iter().filter(|(_, columns)| !columns.is_empty()) {
        text += &format!("  {}: {}\n", field.name(), columns.join(", "));
    }
    if !layout.unused.is_empty() {
        text += &format!("  not used: {}\n", layout.unused.join(", "));
    }
    text
}

/// Fills an empty catalog with the sample.
///
/// # Errors
/// If the database fails.
pub async fn sample(db: &Database) -> Result<()> {
    if books::count(&db.reader(None), &BookFilter::default()).await? > 0 {
        return Ok(());
    }
    let Summary { added, .. } =
        import::import(db, SAMPLE.as_bytes(), &ReadOptions::default(), &mut Refusals).await?;
    tracing::info!(name: "sample.imported", { import.added = added }, "sample imported into the empty catalog");
    Ok(())
}

/// The sample is part of the program: a row of it that is rejected is a mistake worth a line in the
/// log.
struct Refusals;

impl Report for Refusals {
    fn layout(&mut self, _: &Layout) {}

    fn refused(&mut self, line: u64, reason: &str) {
        tracing::warn!(name: "sample.refused", { import.line = line, import.reason = reason }, "a row of the sample was rejected");
    }

    fn unread(&mut self, line: u64, UnreadValue { field, value }: &UnreadValue) {
        self.refused(line, &format!("{} cannot be read: {value:?}", field.name()));
    }
}
