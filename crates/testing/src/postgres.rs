//! A PostgreSQL cluster of a test's own, to be stopped, frozen or crashed.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use sea_orm::{ConnectionTrait, DatabaseConnection};
use tempfile::TempDir;

use crate::{Db, repository, stderr};

/// A cluster, not yet started; stopped when dropped.
pub struct Cluster(TempDir);

impl Cluster {
    /// A folder for a cluster.
    #[expect(clippy::new_without_default, reason = "there is none by default")]
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        // PostgreSQL, which does not run as root, must reach the folder.
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// A cluster that runs.
    pub fn started() -> Self {
        let cluster = Self::new();
        cluster.set("start");
        cluster
    }

    /// The URL of its database `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.dir())
    }

    /// Its database, as a test of the program has it.
    pub fn db(&self) -> Db {
        let mut db = Db::sqlite();
        db.url = self.url();
        db
    }

    /// Connects to it, beside the service.
    pub async fn connect(&self) -> DatabaseConnection {
        sea_orm::Database::connect(self.url()).await.unwrap()
    }

    /// The path of its socket.
    pub fn socket(&self) -> String {
        format!("{}/.s.PGSQL.5432", self.dir())
    }

    /// Has `scripts/postgres` do something to it.
    pub fn set(&self, command: &str) {
        let script = repository().join("scripts/postgres");
        let output = Command::new(script).args([command, &self.dir()]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }

    /// Sends a signal to all of its processes.
    pub fn signal(&self, signal: &str) {
        let file = fs::read_to_string(format!("{}/data/postmaster.pid", self.dir())).unwrap();
        let postmaster = file.lines().next().unwrap().to_owned();
        let children =
            fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
        let mut kill = Command::new("kill");
        kill.arg(signal).arg(&postmaster).args(children.split_whitespace());
        assert!(kill.status().unwrap().success());
    }

    fn dir(&self) -> String {
        self.0.path().join("cluster").display().to_string()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Stopped already, if the test failed in between.
        let script = repository().join("scripts/postgres");
        let _ = Command::new(script).args(["stop", &self.dir()]).output();
    }
}

/// The number that a statement gives.
pub async fn number(db: &DatabaseConnection, sql: &str) -> i64 {
    let row = db
        .query_one_raw(sea_orm::Statement::from_string(db.get_database_backend(), sql.to_owned()));
    row.await.unwrap().unwrap().try_get_by_index(0).unwrap()
}
