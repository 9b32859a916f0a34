//! The connections of a pool that are not in use. One that is too old is closed, and another is opened
//! when it is needed.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::driver::Connection;

/// How old a connection to a server may become: the server's memory for it grows.
const LIFETIME: Duration = Duration::from_mins(30);

/// Room for a connection that is not in use.
#[derive(Debug)]
pub struct IdleConnection {
    /// None if it is still to be opened.
    pub connection: Option<Connection>,
    /// When it was opened.
    pub opened: Instant,
    /// When it was used last.
    pub used: Instant,
    generation: u64,
}

/// The connections that are not in use, most recently used last.
#[derive(Debug, Default)]
pub struct IdleList(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    /// Those with a connection, the latest used at the end.
    connections: Vec<IdleConnection>,
    /// Connections of earlier ones are not used again.
    generation: u64,
}

impl IdleList {
    /// Takes the connection that was used last, or else an empty one. The pool's permits see to it
    /// that there are not too many.
    pub fn take(&self) -> IdleConnection {
        let mut idle = self.idle();
        let now = Instant::now();
        idle.connections.pop().unwrap_or(IdleConnection {
            connection: None,
            opened: now,
            used: now,
            generation: idle.generation,
        })
    }

    /// Puts one back whose connection may be used again.
    pub fn give_back(&self, mut connection: IdleConnection) {
        let is_old = matches!(connection.connection, Some(Connection::Postgres(_)))
            && connection.opened.elapsed() > LIFETIME;
        let mut idle = self.idle();
        if connection.connection.is_some() && !is_old && connection.generation == idle.generation {
            connection.used = Instant::now();
            idle.connections.push(connection);
        }
    }

    /// Closes all connections, those in use when they are returned: they are of a server that was gone
    /// in between.
    pub fn renew(&self) {
        let mut idle = self.idle();
        idle.generation += 1;
        idle.connections.clear();
    }

    /// How many connections are open and not in use.
    pub fn count_idle(&self) -> usize {
        self.idle().connections.len()
    }

    /// Removes all connections that are not in use.
    pub fn drain(&self) -> Vec<Connection> {
        self.idle().connections.drain(..).filter_map(|connection| connection.connection).collect()
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
