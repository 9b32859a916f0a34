//! Databases of tests, and the service on them.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;

use crate::{Service, program};

/// Expands to the same test on both databases.
#[macro_export]
macro_rules! on_both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($db:ident: Db) $body:block)*) => {
        $(mod $name {
            use super::*;

            $(#[$meta])*
            async fn check($db: Db) $body

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                check(Db::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                check(Db::postgres().await).await;
            }
        })*
    };
}

/// An empty database.
pub struct Db {
    /// The URL that the service is given.
    pub url: String,
    /// A folder for its files, which is removed with the last user.
    pub dir: Arc<TempDir>,
}

impl Db {
    /// A file of SQLite, which the service creates.
    pub fn sqlite() -> Self {
        let dir = Arc::new(TempDir::new().unwrap());
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("books.db").display());
        Self { url, dir }
    }

    /// A database of the cluster that `COLOPHON_TEST_POSTGRES` names.
    pub async fn postgres() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let cluster = std::env::var("COLOPHON_TEST_POSTGRES").expect(
            "COLOPHON_TEST_POSTGRES is not set: run `make test`, or \
             `export COLOPHON_TEST_POSTGRES=$(scripts/postgres start target/postgres)`",
        );
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let admin = Database::connect(&cluster).await.unwrap();
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        admin.close().await.unwrap();
        let url = cluster.replace("/postgres?", &format!("/{name}?"));
        assert_ne!(url, cluster, "the cluster's URL must name the database postgres");
        Self { url, dir: Arc::new(TempDir::new().unwrap()) }
    }

    /// Whether it is one of SQLite.
    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite")
    }

    /// Writes a file beside the database and tells its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The program on this database, in a folder and environment of its own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("DATABASE_URL", &self.url).current_dir(self.dir.path());
        command
    }

    /// Runs a command of the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts the service and waits until it is ready.
    pub async fn serve(&self) -> Service {
        self.serve_with(&[]).await
    }

    /// Starts the service with these flags and waits until it is ready.
    pub async fn serve_with(&self, arguments: &[&str]) -> Service {
        let service = self.spawn(arguments);
        service.ready().await;
        service
    }

    /// Starts the service with these variables.
    pub async fn serve_in(&self, variables: &[(&str, &str)]) -> Service {
        let service = self.spawn_in(variables, &[]);
        service.ready().await;
        service
    }

    /// Starts the service with its admin listener at this address.
    pub async fn serve_at(&self, admin: &str, variables: &[(&str, &str)]) -> Service {
        let service = self.spawn_in(variables, &["--admin-listen", admin]);
        service.ready().await;
        service
    }

    /// Starts the service without waiting until it is ready.
    pub fn spawn(&self, arguments: &[&str]) -> Service {
        self.spawn_in(&[], arguments)
    }

    /// Starts the service after a line of shell, such as `ulimit -n 256`.
    pub async fn serve_after(&self, line: &str, arguments: &[&str]) -> Service {
        let service = self.serving(&[], arguments);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{line} && exec \"$@\""), "sh"]);
        shell.arg(service.get_program()).args(service.get_args());
        for (name, value) in service.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.current_dir(self.dir.path()).stdin(Stdio::null());
        let service = Service::start(shell, self.dir.clone());
        service.ready().await;
        service
    }

    fn spawn_in(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Service {
        Service::start(self.serving(variables, arguments), self.dir.clone())
    }

    fn serving(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Command {
        let mut command = self.command(&[&["serve"], arguments].concat());
        command.env("COLOPHON_LISTEN", "127.0.0.1:0").env("COLOPHON_ADMIN_LISTEN", "127.0.0.1:0");
        command.envs(variables.iter().copied());
        command
    }
}
