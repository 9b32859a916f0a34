//! A PgBouncer in front of the cluster that `COLOPHON_TEST_POSTGRES` names.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sea_orm::sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::{Db, PATIENCE};

/// A running PgBouncer; killed when dropped.
pub struct PgBouncer {
    dir: TempDir,
    child: Child,
}

impl PgBouncer {
    /// Starts one in front of the server of `db`, with these lines added to its configuration.
    pub fn start(db: &Db, settings: &str) -> Self {
        let server: PgConnectOptions = db.url.parse().unwrap();
        let socket = server.get_socket().unwrap().display().to_string();
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let path = dir.path().display().to_string();
        let users = format!("{path}/users");
        fs::write(&users, format!("\"{}\" \"\"\n", server.get_username())).unwrap();
        let config = format!(
            "[databases]\n* = host={socket} port={}\n[pgbouncer]\nlisten_port = 6432\n\
             unix_socket_dir = {path}\nauth_type = trust\nauth_file = {users}\n{settings}\n",
            server.get_port()
        );
        fs::write(dir.path().join("config.ini"), config).unwrap();
        let mut command = command();
        command.args(["--quiet", &format!("{path}/config.ini")]);
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        let pooler = Self { dir, child };
        pooler.wait();
        pooler
    }

    fn wait(&self) {
        let started = Instant::now();
        while UnixStream::connect(self.dir.path().join(".s.PGSQL.6432")).is_err() {
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert!(started.elapsed() < PATIENCE, "PgBouncer does not start: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The database as it is reached through this PgBouncer.
    pub fn pooled(&self, db: &Db) -> Db {
        let server: PgConnectOptions = db.url.parse().unwrap();
        let (user, name) = (server.get_username(), server.get_database().unwrap());
        let dir = self.dir.path().display();
        Db {
            url: format!("postgres://{user}@localhost/{name}?host={dir}&port=6432"),
            dir: db.dir.clone(),
        }
    }
}

/// PgBouncer does not run as root.
fn command() -> Command {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Command::new("pgbouncer");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "pgbouncer"]);
    command
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
