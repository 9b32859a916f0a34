//! Hears of changes that no operation of this process made: on PostgreSQL by `LISTEN` on a connection of its own,
//! which a server that is frozen or gone does not keep silent for long; on SQLite by a look at whether
//! another process has written to the file.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use graphql_telemetry::sea_orm::DatabaseFault;
use sea_orm::{
    ConnectionTrait, Statement,
    sqlx::{
        self,
        postgres::{PgListener, PgPoolOptions},
    },
};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{
    Database,
    notifier::{CHANNEL, Notifier},
    pool::{driver::ConnectOptions, postgres::Server},
};

/// How long a connection may be silent until the server is asked whether it is there, and the time between two
/// looks at a file.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long a message may take longer than one that was numbered after it: transactions are not committed in
/// the order in which they number their messages.
const MAX_DELAY: Duration = Duration::from_secs(1);
/// How long is listened for nobody.
const LINGER: Duration = Duration::from_mins(1);
/// Why nothing is heard behind a pooler.
const POOLER: &str = "a connection pooler does not pass notifications on: set COLOPHON_NOTIFICATIONS_URL to the \
                      address of the server itself";
/// Processes whose numbers are kept.
const MAX_ORIGINS: usize = 1000;

impl Database {
    /// Spawns the task that hears of the changes of other processes.
    pub fn spawn_listener(&self) {
        let db = self.clone();
        match self.0.target.clone() {
            ConnectOptions::Postgres(server) => {
                let server = self.0.listen_at.clone().unwrap_or(server).named("colophon listener");
                let limit = self.0.wait * 2 / 5;
                runtime_insight::spawn("database listener", listen(db, server, limit));
            }
            ConnectOptions::Sqlite(_) => {
                runtime_insight::spawn("database listener", watch_file(db));
            }
        }
    }
}

/// Listens while there are subscribers, and connects again when the connection is lost.
async fn listen(db: Database, server: Server, limit: Duration) {
    let notifier = db.notifier();
    let mut is_reported = false;
    // Whether a connection was lost on which somebody relied.
    let mut has_gap = false;
    loop {
        notifier.subscribed().await;
        db.reached().await;
        let problem = match timeout(limit, connect(&server)).await {
            Ok(Ok(listener)) => {
                info!(name: "database.listening", "listening to changes");
                is_reported = false;
                if std::mem::take(&mut has_gap) {
                    notifier.lose();
                }
                notifier.set_listening(true);
                let problem = hear(listener, &server, &notifier, limit).await;
                notifier.set_listening(false);
                let Some(problem) = problem else { continue };
                has_gap = true;
                problem
            }
            Ok(Err(problem)) => problem,
            Err(_) => "no connection in time".to_owned(),
        };
        if !is_reported {
            warn!(name: "database.not_listening", { exception.message = %problem }, "changes of other replicas are not heard; rejecting subscriptions");
            is_reported = true;
        }
        sleep(INTERVAL).await;
    }
}

async fn connect(server: &Server) -> Result<PgListener, String> {
    // Finds out whether a pooler is there: one of transactions takes LISTEN, and hands notifications to
    // nobody.
    drop(server.connect().await.map_err(describe)?);
    if server.has_pooler() {
        return Err(POOLER.to_owned());
    }
    // The library takes a pool, which has this one connection.
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(server.options().clone());
    let mut listener = PgListener::connect_with(&pool).await.map_err(describe)?;
    // Who listened before must learn that there was a gap.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await.map_err(describe)?;
    Ok(listener)
}

/// Hands on what it hears until the connection is lost, and returns why it was; none if there are no subscribers
/// any more.
async fn hear(
    mut listener: PgListener,
    server: &Server,
    notifier: &Notifier,
    limit: Duration,
) -> Option<String> {
    let mut numbers = Numbers::default();
    let mut last_subscribed = Instant::now();
    while !server.has_pooler() {
        match timeout(INTERVAL, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => match numbers.read(notification.payload()) {
                Some(message) => notifier.deliver(message.into()),
                // Of a later version.
                None => notifier.lose(),
            },
            Ok(Ok(None)) => return Some("the connection was closed".to_owned()),
            Ok(Err(error)) => return Some(describe(error)),
            Err(_) => {
                let ping = sqlx::raw_sql("SELECT 1");
                match timeout(limit, sqlx::Executor::execute(&mut listener, ping)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return Some(describe(error)),
                    Err(_) => return Some("the server does not answer".to_owned()),
                }
            }
        }
        if numbers.is_one_missing() {
            notifier.lose();
        }
        if notifier.has_subscribers() {
            last_subscribed = Instant::now();
        } else if last_subscribed.elapsed() > LINGER {
            return None;
        }
    }
    Some(POOLER.to_owned())
}

/// As it may be logged, without what the server was asked with.
fn describe(error: sqlx::Error) -> String {
    let error = sea_orm::DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into()));
    DatabaseFault::from(&error).to_string()
}

/// The numbers of the messages of each process, by which it is found out that one is missing.
#[derive(Default)]
struct Numbers(HashMap<u64, Sequence>);

struct Sequence {
    next: u64,
    /// Those that came before one that is missing, and when.
    early: BTreeMap<u64, Instant>,
}

impl Numbers {
    /// The message in a notification's payload.
    fn read<'a>(&mut self, payload: &'a str) -> Option<&'a str> {
        let mut parts = payload.splitn(3, ' ');
        let origin = u64::from_str_radix(parts.next()?, 16).ok()?;
        let number = parts.next()?.parse().ok()?;
        let message = parts.next()?;
        if self.0.len() == MAX_ORIGINS && !self.0.contains_key(&origin) {
            self.0.clear();
        }
        let new = || Sequence { next: number, early: BTreeMap::new() };
        let sequence = self.0.entry(origin).or_insert_with(new);
        if number >= sequence.next {
            sequence.early.insert(number, Instant::now());
            while sequence.early.remove(&sequence.next).is_some() {
                sequence.next += 1;
            }
        }
        Some(message)
    }

    /// Whether a number did not come for so long that it will not. It is not missed again.
    fn is_one_missing(&mut self) -> bool {
        let mut found = false;
        for sequence in self.0.values_mut() {
            let Some((_, since)) = sequence.early.first_key_value() else { continue };
            if since.elapsed() > MAX_DELAY
                && let Some((last, _)) = sequence.early.pop_last()
            {
                sequence.next = last + 1;
                sequence.early.clear();
                found = true;
            }
        }
        found
    }
}

/// While somebody subscribes, tells of each time that another process has written to the file: what
/// it wrote nobody says.
async fn watch_file(db: Database) {
    let notifier = db.notifier();
    loop {
        notifier.subscribed().await;
        let mut seen = foreign_writes(&db).await;
        while notifier.has_subscribers() {
            sleep(INTERVAL).await;
            let now = foreign_writes(&db).await;
            if now.is_some() && seen.is_some() && now != seen {
                notifier.lose();
            }
            seen = now.or(seen);
        }
    }
}

/// A number that changes when another connection than the one that writes has written
/// (<https://www.sqlite.org/pragma.html#pragma_data_version>). None if it cannot be had now.
async fn foreign_writes(db: &Database) -> Option<i64> {
    let writer = db.writer(None);
    let pragma = Statement::from_string(writer.get_database_backend(), "PRAGMA data_version");
    let row = writer.query_one_raw(pragma).await.ok()??;
    row.try_get_by_index(0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_a_number_that_does_not_come() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.read("00000000000000aa 7 first"), Some("first"));
        assert_eq!(numbers.read("00000000000000aa 9 a late one"), Some("a late one"));
        assert!(!numbers.is_one_missing());
        let sequence = numbers.0.get_mut(&0xaa).unwrap();
        *sequence.early.get_mut(&9).unwrap() -= 2 * MAX_DELAY;
        assert!(numbers.is_one_missing());
        assert!(!numbers.is_one_missing());
    }

    #[test]
    fn takes_numbers_of_transactions_that_overtook_each_other() {
        let mut numbers = Numbers::default();
        for (number, other) in [(0, 4), (2, 5), (1, 6), (3, 7)] {
            numbers.read(&format!("00000000000000aa {number} x")).unwrap();
            numbers.read(&format!("00000000000000bb {other} x")).unwrap();
        }
        assert!(numbers.0.values().all(|sequence| sequence.early.is_empty()));
        assert_eq!(numbers.0[&0xaa].next, 4);
    }

    #[test]
    fn reads_no_other_payloads() {
        for payload in ["", "x", "00000000000000aa", "00000000000000aa 1", "00aa x y"] {
            assert_eq!(Numbers::default().read(payload), None, "{payload}");
        }
    }
}
