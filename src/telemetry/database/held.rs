//! A connection's use: from the gate to its return.

use std::time::{Duration, Instant};

use sea_orm::{ConnAcquireErr, DbErr, ExecResult, RuntimeErr, SqlxError};
use tokio::{runtime::Handle, sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Pool,
    driver::{Ask, Connection, Script},
    slots::Slot,
};

/// A connection to a server that has been idle for longer is asked for a sign of life before it is
/// used: asking each time would cost a round trip a statement.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(30);

/// A connection that is held. Given back when dropped, or thrown away if it is of no more use.
pub struct Held {
    /// There until the drop.
    lease: Option<Lease>,
    /// Whether it was asked for something of which nobody waited for the end.
    is_asked: bool,
    is_broken: bool,
    /// Whether it is in a transaction, or may be.
    pub in_transaction: bool,
}

/// The right to a connection.
struct Lease {
    pool: Pool,
    slot: Slot,
    since: Instant,
    permit: OwnedSemaphorePermit,
}

impl Held {
    /// Takes one of the pool's connections, or opens one.
    ///
    /// # Errors
    /// If none can be opened in time.
    pub async fn open(pool: &Pool, permit: OwnedSemaphorePermit) -> Result<Self, DbErr> {
        let lease = Lease::new(pool.clone(), permit);
        let mut held =
            Self { lease: Some(lease), is_asked: false, is_broken: true, in_transaction: false };
        held.lease().open().await?;
        held.is_broken = false;
        Ok(held)
    }

    fn lease(&mut self) -> &mut Lease {
        self.lease.as_mut().expect("it is taken by the drop only")
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn begin(&mut self) -> Result<ExecResult, DbErr> {
        let begin = self.lease().slot.connection.as_ref().map_or("BEGIN", Connection::begin);
        let begin = Script(begin.to_owned());
        self.in_transaction = true;
        self.send(begin).await
    }

    /// Asks the connection. If nobody waits to the end, or the connection is what failed, it is
    /// not used again.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ask<A: Ask>(&mut self, ask: A) -> Result<A::Answer, DbErr> {
        let connection = self.lease().slot.connection.as_ref();
        if connection.is_some_and(Connection::is_pooled) && !self.in_transaction {
            // In a box, so that what goes to the server directly is not larger for it.
            return Box::pin(self.ask_in_transaction(ask)).await;
        }
        self.send(ask).await
    }

    /// Asks in a transaction of its own: preparing a statement and executing it are two messages,
    /// between which a pooler may otherwise change the connection to the server.
    async fn ask_in_transaction<A: Ask>(&mut self, ask: A) -> Result<A::Answer, DbErr> {
        self.begin().await?;
        let answer = self.send(ask).await?;
        self.send(Script("COMMIT".into())).await?;
        self.in_transaction = false;
        Ok(answer)
    }

    async fn send<A: Ask>(&mut self, ask: A) -> Result<A::Answer, DbErr> {
        self.is_asked = true;
        let result = match &mut self.lease().slot.connection {
            Some(connection) => runtime_insight::trace_point(ask.ask(connection)).await,
            None => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
        };
        self.is_asked = false;
        if let Err(error) = &result {
            self.is_broken |= is_of_connection(error) || self.finds_pooler(error);
        }
        result
    }

    /// Whether the failure shows a pooler that was not known. Then no connection is used again.
    fn finds_pooler(&mut self, error: &DbErr) -> bool {
        let pool = &self.lease().pool;
        let found = pool.0.target.finds_pooler(error);
        if found {
            pool.renew();
        }
        found
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut lease) = self.lease.take() else { return };
        let is_server = lease.pool.0.target.is_server();
        if self.is_broken || (self.is_asked && is_server) {
            // The server looks for the sockets of its clients, and ends the statement.
            lease.slot.connection = None;
        } else if self.is_asked || self.in_transaction {
            match Handle::try_current() {
                Ok(_) => {
                    runtime_insight::spawn(
                        "connection settling",
                        lease.settle(self.in_transaction),
                    );
                    return;
                }
                Err(_) => lease.slot.connection = None,
            }
        }
        lease.end();
    }
}

impl Lease {
    fn new(pool: Pool, permit: OwnedSemaphorePermit) -> Self {
        pool.0.metrics.used.increment(1);
        let slot = pool.0.slots.take();
        Self { pool, slot, since: Instant::now(), permit }
    }

    /// Sees to it that there is a connection that answers.
    async fn open(&mut self) -> Result<(), DbErr> {
        let Self { pool, slot, .. } = self;
        let (target, limit) = (&pool.0.target, pool.0.options.wait);
        if let Some(connection) = &mut slot.connection
            && target.is_server()
            && slot.used.elapsed() > TEST_AFTER_IDLE
            && timeout(limit, Box::pin(connection.ping())).await != Ok(true)
        {
            slot.connection = None;
        }
        if slot.connection.is_none() {
            // In a box, since it is rare: all that asks for a connection would be as large as this.
            let connection = timeout(limit, Box::pin(target.connect())).await;
            let timed_out = |_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout);
            slot.connection = Some(connection.map_err(timed_out)??);
            slot.opened = Instant::now();
        }
        Ok(())
    }

    /// Waits until the connection has done what it was asked for, has it roll back a transaction
    /// that nobody will end, and gives it back.
    async fn settle(mut self, in_transaction: bool) {
        let limit = self.pool.0.options.wait;
        let is_server = self.pool.0.target.is_server();
        if let Some(connection) = &mut self.slot.connection {
            let settled = async {
                if in_transaction {
                    // It fails where the database has done so by itself, as on a full disk.
                    let _ = Script("ROLLBACK".into()).ask(connection).await;
                }
                connection.ping().await
            };
            // What goes on in a file cannot be broken off; a further connection would not help.
            let is_settled =
                if is_server { timeout(limit, settled).await == Ok(true) } else { settled.await };
            if !is_settled {
                self.slot.connection = None;
            }
        }
        self.end();
    }

    fn end(self) {
        let Self { pool, slot, since, permit } = self;
        pool.0.slots.give_back(slot);
        pool.0.metrics.used.decrement(1);
        pool.0.metrics.use_time.record(since.elapsed().as_secs_f64());
        drop(permit);
    }
}

/// Whether it is the connection that failed, and not what was asked of the database.
fn is_of_connection(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match &**error {
                SqlxError::Database(error) => {
                    // Connection exception, operator intervention.
                    error.code().is_some_and(|code| {
                        code.starts_with("08") || (code.starts_with("57") && code != "57014")
                    })
                }
                SqlxError::Io(_)
                | SqlxError::Tls(_)
                | SqlxError::Protocol(_)
                | SqlxError::PoolTimedOut
                | SqlxError::PoolClosed
                | SqlxError::WorkerCrashed => true,
                _ => false,
            }
        }
        _ => false,
    }
}
