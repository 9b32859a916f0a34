//! The connections of a pool, each with its own slot, so that one that is of no more use can be
//! thrown away: the driver's pool has no such means. It asks a connection that comes back for a
//! sign of life, without a time limit; one that was cancelled in mid-statement waits for the
//! statement's end there, and one whose network has gone stays for a quarter of an hour.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::DatabaseConnection;

/// How old a connection may become: the server's memory for it grows.
const LIFETIME: Duration = Duration::from_mins(30);

/// Where the connections of a pool come from.
pub enum Connections {
    /// A server: each call gives a driver's pool of one connection, which is opened when it is used.
    Server(Box<dyn Fn() -> DatabaseConnection + Send + Sync>),
    /// A file: all share the driver's pool, since nothing can come between us and it.
    File(DatabaseConnection),
}

/// A place for a connection.
pub struct Slot {
    /// The connection, or how to get at one.
    pub connection: DatabaseConnection,
    opened: Instant,
    generation: u64,
}

/// The slots that are not in use.
pub struct Slots {
    connections: Connections,
    idle: Mutex<Idle>,
}

struct Idle {
    /// Those used before, the latest at the back: the longest unused has surely been asked for its
    /// sign of life.
    used: VecDeque<Slot>,
    /// How many have none yet.
    fresh: usize,
    /// Slots of earlier ones are not used again.
    generation: u64,
}

impl Slots {
    /// `size` of them.
    pub fn new(connections: Connections, size: usize) -> Self {
        let idle = Idle { used: VecDeque::with_capacity(size), fresh: size, generation: 0 };
        Self { connections, idle: Mutex::new(idle) }
    }

    /// Takes one: one that was used before, if there is. There must be one, which the pool's gate
    /// sees to.
    pub fn take(&self) -> Slot {
        let mut idle = self.idle();
        if let Some(slot) = idle.used.pop_front() {
            return slot;
        }
        idle.fresh = idle.fresh.saturating_sub(1);
        let generation = idle.generation;
        drop(idle);
        let connection = match &self.connections {
            Connections::Server(open) => open(),
            Connections::File(shared) => shared.clone(),
        };
        Slot { connection, opened: Instant::now(), generation }
    }

    /// Puts one back; if it is `broken` or old, an empty one in its place.
    pub fn give_back(&self, slot: Slot, broken: bool) {
        let is_server = matches!(self.connections, Connections::Server(_));
        let mut idle = self.idle();
        let of_no_use = broken
            || slot.generation != idle.generation
            || (is_server && slot.opened.elapsed() > LIFETIME);
        if of_no_use {
            idle.fresh += 1;
        } else {
            idle.used.push_back(slot);
        }
    }

    /// Throws all connections away, those in use when they come back: they are of a server that
    /// was gone in between.
    pub fn renew(&self) {
        let mut idle = self.idle();
        idle.generation += 1;
        idle.fresh += idle.used.len();
        idle.used.clear();
    }

    /// How many connections are open and not in use.
    pub fn count_idle(&self) -> usize {
        match &self.connections {
            Connections::Server(_) => {
                let is_open =
                    |slot: &&Slot| slot.connection.get_postgres_connection_pool().size() > 0;
                self.idle().used.iter().filter(is_open).count()
            }
            Connections::File(shared) => shared.get_sqlite_connection_pool().num_idle(),
        }
    }

    /// All connections that there are and that are not in use.
    pub fn drain(&self) -> Vec<DatabaseConnection> {
        match &self.connections {
            Connections::Server(_) => {
                self.idle().used.drain(..).map(|slot| slot.connection).collect()
            }
            Connections::File(shared) => vec![shared.clone()],
        }
    }

    /// What a connection is of.
    pub fn is_server(&self) -> bool {
        matches!(self.connections, Connections::Server(_))
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Has a server's connection closed as soon as it comes back from its statement, whose end is
    /// not waited for then. The server looks for the sockets of its clients, and ends the statement.
    pub fn abandon(&self) {
        // The first part, which is no future, says that the pool is closed; nobody waits for the rest.
        drop(self.connection.get_postgres_connection_pool().close());
    }
}
