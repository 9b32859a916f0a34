//! Messages about changes, which reach every process that uses the database once the transaction that they are
//! about is committed. On PostgreSQL they are notifications (`pg_notify`) of that transaction, heard on a
//! connection of its own (`listener`); on SQLite they stay in the process.
//!
//! Notifications reach those who listen and nobody else: whoever subscribes is told when messages may have
//! been lost ([`Notification::Lost`]), and reads again what it needs.

use std::{
    hash::{BuildHasher, RandomState},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sea_orm::DbErr;
use tokio::sync::{broadcast, watch};

use super::pool::Transaction;

/// The channel of PostgreSQL.
pub const CHANNEL: &str = "colophon_changes";
/// Bytes of a message: PostgreSQL takes fewer than 8000, some of which are for what numbers the message.
pub const MAX_MESSAGE: usize = 7900;
/// Messages that a subscriber may be behind before it loses the oldest.
const BACKLOG: usize = 1024;

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// A message of a transaction that was committed.
    Message(Arc<str>),
    /// Messages may have been lost.
    Lost,
}

/// Sends messages, and hands those of all processes to subscribers. Clones share it.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    is_server: bool,
    /// Distinguishes this process among those that share the database.
    origin: u64,
    sent: AtomicU64,
    subscribers: broadcast::Sender<Notification>,
    /// Whether the messages of other processes arrive.
    is_listening: watch::Sender<bool>,
    followers: watch::Sender<usize>,
}

/// Somebody who follows the changes.
#[derive(Debug)]
pub struct Follower(Arc<Shared>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.followers.send_modify(|count| *count -= 1);
    }
}

/// Notifications, in the order of their transactions.
#[derive(Debug)]
pub struct Notifications(broadcast::Receiver<Notification>);

impl Notifier {
    /// A notifier of the processes that share a server, or of this process only.
    #[must_use]
    pub fn new(is_server: bool) -> Self {
        Self(Arc::new(Shared {
            is_server,
            origin: RandomState::new().hash_one(process::id()),
            sent: AtomicU64::new(0),
            subscribers: broadcast::Sender::new(BACKLOG),
            is_listening: watch::Sender::new(!is_server),
            followers: watch::Sender::new(0),
        }))
    }

    /// Commits a transaction and sends these messages, or does neither.
    ///
    /// # Errors
    /// If the transaction was not committed.
    pub async fn commit(&self, tx: Transaction, messages: Vec<String>) -> Result<(), DbErr> {
        if self.0.is_server {
            let notify = messages.iter().map(|message| {
                let payload = self.payload(message).replace('\'', "''");
                format!("SELECT pg_notify('{CHANNEL}', '{payload}')")
            });
            return tx.commit_after(notify.collect()).await;
        }
        tx.commit().await?;
        for message in messages {
            self.deliver(message.into());
        }
        Ok(())
    }

    /// A message as PostgreSQL sends it, with a number by which listeners find out that one is missing.
    #[must_use]
    pub fn payload(&self, message: &str) -> String {
        let number = self.0.sent.fetch_add(1, Ordering::Relaxed);
        format!("{:016x} {number} {message}", self.0.origin)
    }

    /// Hands a message to the subscribers in this process.
    pub fn deliver(&self, message: Arc<str>) {
        self.send(Notification::Message(message));
    }

    /// Tells subscribers that messages may have been lost.
    pub(super) fn lose(&self) {
        self.send(Notification::Lost);
    }

    fn send(&self, notification: Notification) {
        // Fails if nobody subscribes.
        let _ = self.0.subscribers.send(notification);
    }

    /// Whether anybody follows the changes.
    #[must_use]
    pub fn has_subscribers(&self) -> bool {
        *self.0.followers.borrow() > 0
    }

    /// Waits until somebody follows the changes.
    pub(super) async fn subscribed(&self) {
        // Fails only if the sender is gone, which we have.
        let _ = self.0.followers.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Follows the changes, until what this returns is dropped.
    #[must_use]
    pub fn follow(&self) -> Follower {
        self.0.followers.send_modify(|count| *count += 1);
        Follower(self.0.clone())
    }

    /// What is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Notifications {
        Notifications(self.0.subscribers.subscribe())
    }

    /// Waits until the messages of all processes arrive.
    pub async fn listening(&self) {
        // Fails only if the sender is gone, which we have.
        let _ = self.0.is_listening.subscribe().wait_for(|is_listening| *is_listening).await;
    }

    pub(super) fn set_listening(&self, is_listening: bool) {
        self.0.is_listening.send_replace(is_listening);
    }
}

impl Notifications {
    /// The next notification; none when the database is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Notification> {
        match self.0.recv().await {
            Ok(notification) => Some(notification),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Notification::Lost),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tells_a_slow_subscriber_that_it_lost_messages() {
        let notifier = Notifier::new(false);
        let mut notifications = notifier.subscribe();
        for number in 0..=BACKLOG {
            notifier.deliver(number.to_string().into());
        }
        assert_eq!(notifications.next().await, Some(Notification::Lost));
        assert_eq!(notifications.next().await, Some(Notification::Message("1".into())));
    }
}
