//! The limit of open files, and how many connections it leaves beside the database and the admin listener.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::config::limits::RequestLimits;

/// What a connection of the database's pool has open: on SQLite the file, its log, and now and
/// then a temporary file.
const OF_DATABASE_CONNECTION: usize = 3;
/// What else is open: connections of the admin listener (64), exporters, the runtime's own, the
/// log, `/proc`.
const OF_OTHERS: usize = 96;

/// Raises the limit of open files as far as allowed, and returns `limits` with no more connections than fit
/// into it.
#[must_use]
pub fn cap_connections(limits: &RequestLimits, pool_size: u32) -> RequestLimits {
    let Some(descriptors) = raise_nofile() else { return limits.clone() };
    let max_connections = limits.max_connections.min(left(descriptors, pool_size));
    if max_connections < limits.max_connections {
        warn!(
            name: "service.few_descriptors",
            { listen.descriptors = descriptors, listen.max_connections = max_connections },
            "connection limit lowered to fit the limit of open files (raise it with ulimit -n)"
        );
    }
    RequestLimits { max_connections, ..limits.clone() }
}

/// Of `descriptors`, those that are left for connections of clients.
fn left(descriptors: usize, pool_size: u32) -> usize {
    let pool = usize::try_from(pool_size).unwrap_or(usize::MAX).saturating_add(1);
    let reserve = pool.saturating_mul(OF_DATABASE_CONNECTION).saturating_add(OF_OTHERS);
    descriptors.saturating_sub(reserve).max(descriptors / 4)
}

/// Raises the soft limit to the hard one and returns it; `None` if there is no limit.
fn raise_nofile() -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserves_descriptors_for_everything_else() {
        assert_eq!(left(256, 16), 109);
        assert_eq!(left(1024, 16), 877);
        // Too few for everything: then everybody gets a part.
        assert_eq!(left(128, 1000), 32);
    }
}
