//! The places for the connections of a pool. One that is of no more use is thrown away, and
//! another is opened in its place when it is needed.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::driver::Connection;

/// How old a connection to a server may become: the server's memory for it grows.
const LIFETIME: Duration = Duration::from_mins(30);

/// A place for a connection.
#[derive(Debug)]
pub struct Slot {
    /// None if it is still to be opened.
    pub connection: Option<Connection>,
    /// When it was opened.
    pub opened: Instant,
    /// When it was used last.
    pub used: Instant,
    generation: u64,
}

/// The slots that are not in use.
#[derive(Debug, Default)]
pub struct Slots(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    /// Those with a connection, the latest used at the end.
    slots: Vec<Slot>,
    /// Slots of earlier ones are not used again.
    generation: u64,
}

impl Slots {
    /// Takes the slot that was used last, or else an empty one. The pool's gate sees to it that
    /// there are not too many.
    pub fn take(&self) -> Slot {
        let mut idle = self.idle();
        let now = Instant::now();
        idle.slots.pop().unwrap_or(Slot {
            connection: None,
            opened: now,
            used: now,
            generation: idle.generation,
        })
    }

    /// Puts one back whose connection may be used again.
    pub fn give_back(&self, mut slot: Slot) {
        let is_old = matches!(slot.connection, Some(Connection::Postgres(_)))
            && slot.opened.elapsed() > LIFETIME;
        let mut idle = self.idle();
        if slot.connection.is_some() && !is_old && slot.generation == idle.generation {
            slot.used = Instant::now();
            idle.slots.push(slot);
        }
    }

    /// Throws all connections away, those in use when they come back: they are of a server that
    /// was gone in between.
    pub fn renew(&self) {
        let mut idle = self.idle();
        idle.generation += 1;
        idle.slots.clear();
    }

    /// How many connections are open and not in use.
    pub fn count_idle(&self) -> usize {
        self.idle().slots.len()
    }

    /// All connections that are not in use.
    pub fn drain(&self) -> Vec<Connection> {
        self.idle().slots.drain(..).filter_map(|slot| slot.connection).collect()
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
