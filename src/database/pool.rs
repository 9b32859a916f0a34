//! The pool of connections. Permits of its size stand before them, so that waiting for a connection,
//! holding one and the number of those who wait are measured in one place.
//!
//! Our own and not sqlx's, which asks each connection that comes back for a sign of life: a task and a
//! round trip for each statement, without a time limit (github.com/launchbadge/sqlx/issues/4349, 4394).
//! Without it, a book took 78 µs in place of 84 (docs/performance.md). Can go when sqlx leaves that to its
//! user.

mod checkout;
pub mod driver;
mod idle;
pub mod postgres;
mod session;

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry::Context;
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::sync::Semaphore;

pub use self::session::{Session, Transaction};
use self::{
    checkout::PooledConnection,
    driver::{ConnectOptions, Connection},
    idle::IdleList,
};
use graphql_telemetry::sea_orm::{CommentMode, DatabaseInfo, PoolMetrics, Statements};

/// How many connections a pool has, and what its telemetry says.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Names the pool among the process's pools.
    pub name: &'static str,
    /// The database.
    pub database: DatabaseInfo,
    /// Connections at most.
    pub size: usize,
    /// How long to wait for one.
    pub wait: Duration,
    /// Which comments to add to statements.
    pub comments: CommentMode,
}

/// A pool of connections. Clones share it.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    target: ConnectOptions,
    idle: IdleList,
    options: PoolOptions,
    permits: Arc<Semaphore>,
    metrics: PoolMetrics,
    statements: Statements,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.0.options).finish()
    }
}

impl Pool {
    /// A pool of connections, `first` among them, which are opened when they are used.
    #[must_use]
    pub fn new(target: ConnectOptions, options: PoolOptions, first: Option<Connection>) -> Self {
        let idle = IdleList::default();
        let mut first_idle = idle.take();
        first_idle.connection = first;
        idle.give_back(first_idle);
        Self(Arc::new(Shared {
            statements: Statements::new(target.backend(), options.database.clone())
                .with_comments(options.comments),
            target,
            permits: Arc::new(Semaphore::new(options.size)),
            metrics: PoolMetrics::new(options.name, options.size),
            idle,
            options,
        }))
    }

    /// Holds every connection for as long as `time`. For the laboratory.
    ///
    /// # Errors
    /// If one cannot be had in time.
    pub async fn occupy(&self, time: Duration) -> Result<(), DbErr> {
        let mut held = Vec::new();
        for _ in 0..self.0.options.size {
            held.push(self.acquire(None).await?);
        }
        tokio::time::sleep(time).await;
        Ok(())
    }

    /// Throws all connections away: the server they were of was gone in between.
    pub fn renew(&self) {
        self.0.idle.renew();
    }

    /// Closes all connections that are not in use.
    ///
    /// # Errors
    /// If one cannot be closed.
    pub async fn close(&self) -> Result<(), DbErr> {
        for connection in self.0.idle.drain() {
            connection.close().await?;
        }
        Ok(())
    }

    /// Records how many connections are open and idle.
    pub fn sample(&self) {
        self.0.metrics.set_idle(self.0.idle.count_idle());
    }

    async fn acquire(&self, parent: Option<&Context>) -> Result<PooledConnection, DbErr> {
        let Shared { permits, metrics, options, .. } = &*self.0;
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            metrics.acquired_at_once();
            return PooledConnection::open(self, permit).await;
        }
        let waiting = metrics.wait();
        let permit = tokio::time::timeout(options.wait, permits.clone().acquire_owned()).await;
        let result = match permit {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
            Err(_) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
        };
        waiting.end(parent, result.as_ref().err());
        PooledConnection::open(self, result?).await
    }
}
