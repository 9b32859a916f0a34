//! The use of a connection, from the permit to its return.

use std::time::{Duration, Instant};

use sea_orm::{ConnAcquireErr, DbErr, ExecResult, RuntimeErr, SqlxError};
use tokio::{runtime::Handle, sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Pool,
    driver::{Connection, Query, RawSql},
    idle::IdleConnection,
};

/// A connection to a server that has been idle for longer is asked for a sign of life before it is
/// used: asking each time would cost a round trip a statement.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(30);

/// A connection in use. Returned to the pool when dropped, or closed if it is broken.
pub struct PooledConnection {
    /// There until the drop.
    checkout: Option<Checkout>,
    /// Whether a query was sent whose end nobody waited for.
    in_flight: bool,
    is_broken: bool,
    /// Whether it is in a transaction, or may be.
    pub in_transaction: bool,
}

/// A connection that was taken out of the pool, with its permit.
struct Checkout {
    pool: Pool,
    idle: IdleConnection,
    since: Instant,
    permit: OwnedSemaphorePermit,
}

impl PooledConnection {
    /// Takes one of the pool's connections, or opens one.
    ///
    /// # Errors
    /// If none can be opened in time.
    pub async fn open(pool: &Pool, permit: OwnedSemaphorePermit) -> Result<Self, DbErr> {
        let checkout = Checkout::new(pool.clone(), permit);
        let mut this = Self {
            checkout: Some(checkout),
            in_flight: false,
            is_broken: true,
            in_transaction: false,
        };
        this.checkout().open().await?;
        this.is_broken = false;
        Ok(this)
    }

    fn checkout(&mut self) -> &mut Checkout {
        self.checkout.as_mut().expect("it is taken by the drop only")
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn begin(&mut self) -> Result<ExecResult, DbErr> {
        let begin = self.checkout().idle.connection.as_ref().map_or("BEGIN", Connection::begin);
        let begin = RawSql(begin.to_owned());
        self.in_transaction = true;
        self.send(begin).await
    }

    /// Asks the connection. If nobody waits to the end, or the connection is what failed, it is
    /// not used again.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn run<A: Query>(&mut self, query: A) -> Result<A::Output, DbErr> {
        let connection = self.checkout().idle.connection.as_ref();
        if connection.is_some_and(Connection::is_pooled) && !self.in_transaction {
            // In a box, so that what goes to the server directly is not larger for it.
            return Box::pin(self.run_in_transaction(query)).await;
        }
        self.send(query).await
    }

    /// Asks in a transaction of its own: preparing a statement and executing it are two messages,
    /// between which a pooler may otherwise change the connection to the server.
    async fn run_in_transaction<A: Query>(&mut self, query: A) -> Result<A::Output, DbErr> {
        self.begin().await?;
        let answer = self.send(query).await?;
        self.send(RawSql("COMMIT".into())).await?;
        self.in_transaction = false;
        Ok(answer)
    }

    async fn send<A: Query>(&mut self, query: A) -> Result<A::Output, DbErr> {
        self.in_flight = true;
        let result = match &mut self.checkout().idle.connection {
            Some(connection) => runtime_insight::trace_point(query.run(connection)).await,
            None => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
        };
        self.in_flight = false;
        if let Err(error) = &result {
            self.is_broken |= is_of_connection(error) || self.finds_pooler(error);
        }
        result
    }

    /// Whether the failure shows a pooler that was not known. Then no connection is used again.
    fn finds_pooler(&mut self, error: &DbErr) -> bool {
        let pool = &self.checkout().pool;
        let found = pool.0.target.finds_pooler(error);
        if found {
            pool.renew();
        }
        found
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(mut checkout) = self.checkout.take() else { return };
        let is_server = checkout.pool.0.target.is_server();
        if self.is_broken || (self.in_flight && is_server) {
            // The server looks for the sockets of its clients, and ends the statement.
            checkout.idle.connection = None;
        } else if self.in_flight || self.in_transaction {
            match Handle::try_current() {
                Ok(_) => {
                    runtime_insight::spawn(
                        "connection settling",
                        checkout.reset(self.in_transaction),
                    );
                    return;
                }
                Err(_) => checkout.idle.connection = None,
            }
        }
        checkout.end();
    }
}

impl Checkout {
    fn new(pool: Pool, permit: OwnedSemaphorePermit) -> Self {
        pool.0.metrics.begin_use();
        let idle = pool.0.idle.take();
        Self { pool, idle, since: Instant::now(), permit }
    }

    /// Sees to it that there is a connection that answers.
    async fn open(&mut self) -> Result<(), DbErr> {
        let Self { pool, idle, .. } = self;
        let (target, limit) = (&pool.0.target, pool.0.options.wait);
        if let Some(connection) = &mut idle.connection
            && target.is_server()
            && idle.used.elapsed() > TEST_AFTER_IDLE
            && timeout(limit, Box::pin(connection.ping())).await != Ok(true)
        {
            idle.connection = None;
        }
        if idle.connection.is_none() {
            // In a box, since it is rare: all that asks for a connection would be as large as this.
            let connection = timeout(limit, Box::pin(target.connect())).await;
            let timed_out = |_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout);
            idle.connection = Some(connection.map_err(timed_out)??);
            idle.opened = Instant::now();
        }
        Ok(())
    }

    /// Waits until the connection has done what it was asked for, has it roll back a transaction
    /// that nobody will end, and gives it back.
    async fn reset(mut self, in_transaction: bool) {
        let limit = self.pool.0.options.wait;
        let is_server = self.pool.0.target.is_server();
        if let Some(connection) = &mut self.idle.connection {
            let reset = async {
                if in_transaction {
                    // It fails where the database has done so by itself, as on a full disk.
                    let _ = RawSql("ROLLBACK".into()).run(connection).await;
                }
                connection.ping().await
            };
            // What goes on in a file cannot be broken off; a further connection would not help.
            let is_reset =
                if is_server { timeout(limit, reset).await == Ok(true) } else { reset.await };
            if !is_reset {
                self.idle.connection = None;
            }
        }
        self.end();
    }

    fn end(self) {
        let Self { pool, idle, since, permit } = self;
        pool.0.idle.give_back(idle);
        pool.0.metrics.end_use(since.elapsed());
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
