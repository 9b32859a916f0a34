//! SQL: a span and two metrics for each statement, and the metrics of a pool of connections.

mod comment;
mod fault;
mod instrumented;
mod literals;
mod pool;
mod statement;
mod summary;

use std::sync::LazyLock;

use metrics::Gauge;

#[cfg(feature = "stream")]
pub use self::instrumented::InstrumentedStream;
pub(crate) use self::pool::pools;
pub use self::{
    comment::CommentMode,
    fault::{DatabaseFault, FaultClass},
    instrumented::Instrumented,
    pool::{PoolMetrics, Waiting},
    statement::{DatabaseInfo, OnlySlow, StatementSpan, Statements, current},
};
use crate::catalog::DB_REACHABLE;

/// Records whether the database server responds.
pub fn report_reachable(is_reachable: bool) {
    static REACHABLE: LazyLock<Gauge> = LazyLock::new(|| DB_REACHABLE.gauge(Vec::new()));
    REACHABLE.set(f64::from(u8::from(is_reachable)));
}
