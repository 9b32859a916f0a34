//! Files that are read again when they change.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use super::SecurityError;

/// How often is looked whether the file has changed.
const INTERVAL: Duration = Duration::from_secs(1);
/// Larger files are rejected.
const LARGEST: u64 = 1024 * 1024;

/// A file that a setting names.
#[derive(Clone)]
pub struct WatchedFile {
    setting: &'static str,
    path: PathBuf,
}

/// What differs when a file was written, replaced or pointed elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl WatchedFile {
    /// The file at `path`, which `setting` names.
    pub fn new(setting: &'static str, path: &Path) -> Self {
        Self { setting, path: path.to_owned() }
    }

    /// Reads the file as `parse` does.
    pub fn read<T>(&self, parse: fn(&str) -> Result<T, String>) -> Result<T, SecurityError> {
        let path = || self.path.display().to_string();
        let unreadable =
            |error| SecurityError::Unreadable { setting: self.setting, path: path(), error };
        if fs::metadata(&self.path).map_err(unreadable)?.len() > LARGEST {
            return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
        }
        let text = fs::read_to_string(&self.path).map_err(unreadable)?;
        parse(&text).map_err(|problem| SecurityError::Unusable {
            setting: self.setting,
            path: path(),
            problem,
        })
    }

    /// Has a task read the file whenever it changes, until the process ends.
    pub fn watch<T: Send + 'static>(
        self,
        task: &'static str,
        parse: fn(&str) -> Result<T, String>,
        take: impl Fn(T) + Send + Sync + 'static,
    ) {
        let take = Arc::new(take);
        runtime_insight::spawn(task, async move {
            // Not a stamp taken before the first reading: a change between the two would be missed.
            let mut seen = None;
            loop {
                let (file, take) = (self.clone(), take.clone());
                let look = spawn_blocking(move || file.look(seen, parse, &*take));
                seen = look.await.unwrap_or_default();
                sleep(INTERVAL).await;
            }
        });
    }

    fn look<T>(
        &self,
        seen: Option<Stamp>,
        parse: fn(&str) -> Result<T, String>,
        take: &dyn Fn(T),
    ) -> Option<Stamp> {
        let stamp = self.stamp();
        // A file that is away for a moment is being replaced; what it held holds on.
        if stamp.is_none() || stamp == seen {
            return stamp.or(seen);
        }
        let path = self.path.display();
        match self.read(parse) {
            Ok(content) => {
                take(content);
                info!(name: "security.file_read", { file.path = %path }, "{} is read", self.setting);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(name: "security.file_unusable", { exception.message = error }, "file cannot be used; keeping the previous version");
            }
        }
        stamp
    }

    fn stamp(&self) -> Option<Stamp> {
        let data = fs::metadata(&self.path).ok()?;
        let modified = (data.mtime(), data.mtime_nsec());
        Some(Stamp { inode: data.ino(), size: data.size(), modified })
    }
}
