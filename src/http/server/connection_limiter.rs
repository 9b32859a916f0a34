//! Limits of connections: in all and for each peer, and which connection is evicted when all permits are taken.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use graphql_telemetry::http::connections::Open;
use tokio::{sync::Notify, time::timeout};

use crate::{
    config::limits::RequestLimits,
    http::server::connection_state::{ConnectionState, Waiting},
};

/// How long a connection may wait for the head of a request before it can be evicted.
/// The head comes with the packet that opens a connection, or right behind it.
const MIN_HEAD_WAIT: Duration = Duration::from_millis(100);
/// How long to wait for a permit before looking for another connection to evict.
const RETRY: Duration = Duration::from_millis(10);

/// The limits of a listener.
#[derive(Debug)]
pub struct ConnectionLimiter {
    capacity: usize,
    per_peer: usize,
    table: Mutex<Table>,
    released: Notify,
    /// Whether its connections are in the metrics.
    pub measured: bool,
}

#[derive(Debug, Default)]
struct Table {
    taken: usize,
    last_id: u64,
    peers: HashMap<IpAddr, usize>,
    /// Those that can be evicted.
    connections: HashMap<u64, Arc<ConnectionState>>,
}

/// A connection's permit, released on drop.
#[derive(Debug)]
pub struct ConnectionPermit {
    id: u64,
    limiter: Arc<ConnectionLimiter>,
    state: Arc<ConnectionState>,
    _peer_permit: Option<PeerPermit>,
    _open: Option<Open>,
}

/// One of the connections that a peer may have, released on drop.
#[derive(Debug)]
pub struct PeerPermit {
    peer: IpAddr,
    limiter: Arc<ConnectionLimiter>,
}

/// The peer has reached its limit of connections.
#[derive(Clone, Copy, Debug)]
pub struct PeerLimitExceeded;

impl ConnectionLimiter {
    /// A limiter by `limits`, whose connections are in the metrics if `measured`.
    pub fn new(limits: &RequestLimits, measured: bool) -> Arc<Self> {
        Arc::new(Self {
            capacity: limits.max_connections,
            per_peer: limits.max_connections_per_peer,
            table: Mutex::default(),
            released: Notify::new(),
            measured,
        })
    }

    /// Acquires a permit for a connection of `peer`, evicting another connection if need be. Without `peer`
    /// the connection counts for no peer.
    pub async fn acquire(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
    ) -> Result<ConnectionPermit, PeerLimitExceeded> {
        loop {
            if let Some(slot) = self.try_acquire(peer)? {
                return Ok(slot);
            }
            self.evict_idle();
            let _ = timeout(RETRY, self.released.notified()).await;
        }
    }

    fn try_acquire(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
    ) -> Result<Option<ConnectionPermit>, PeerLimitExceeded> {
        let mut table = self.table();
        let peer = peer.map(peer_key);
        if peer.is_some_and(|peer| table.is_full(peer, self.per_peer)) {
            return Err(PeerLimitExceeded);
        }
        if table.taken >= self.capacity {
            return Ok(None);
        }
        let peer_permit = peer.map(|peer| self.count(&mut table, peer));
        let (id, state) = (table.last_id + 1, Arc::<ConnectionState>::default());
        table.last_id = id;
        table.taken += 1;
        table.connections.insert(id, state.clone());
        drop(table);
        let open = self.measured.then(Open::new);
        Ok(Some(ConnectionPermit {
            id,
            limiter: self.clone(),
            state,
            _peer_permit: peer_permit,
            _open: open,
        }))
    }

    /// Counts a request or a socket of `client`, who comes through a proxy, like a connection of
    /// its own.
    pub fn share(self: &Arc<Self>, client: IpAddr) -> Result<PeerPermit, PeerLimitExceeded> {
        let (mut table, client) = (self.table(), peer_key(client));
        if table.is_full(client, self.per_peer) {
            return Err(PeerLimitExceeded);
        }
        Ok(self.count(&mut table, client))
    }

    fn count(self: &Arc<Self>, table: &mut Table, peer: IpAddr) -> PeerPermit {
        *table.peers.entry(peer).or_default() += 1;
        PeerPermit { peer, limiter: self.clone() }
    }

    /// Evicts the connection that has been idle for longest, if there is one.
    pub fn evict_idle(&self) {
        let mut table = self.table();
        let candidate = |(id, state): (&u64, &Arc<ConnectionState>)| -> Option<(Waiting, u64)> {
            state.waiting().filter(|w| w.since.elapsed() >= MIN_HEAD_WAIT).map(|w| (w, *id))
        };
        let first = table.connections.iter().filter_map(candidate).min();
        if let Some(state) = first.and_then(|(_, id)| table.connections.remove(&id)) {
            state.evict();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPermit {
    /// The state of its connection.
    pub fn state(&self) -> &Arc<ConnectionState> {
        &self.state
    }

    /// Takes the connection out of those that can be evicted: it no longer speaks HTTP.
    pub fn detach(&self) {
        self.limiter.table().connections.remove(&self.id);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut table = self.limiter.table();
        table.taken -= 1;
        table.connections.remove(&self.id);
        drop(table);
        self.limiter.released.notify_one();
    }
}

impl Table {
    fn is_full(&self, peer: IpAddr, limit: usize) -> bool {
        self.peers.get(&peer).is_some_and(|held| *held >= limit)
    }
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let mut table = self.limiter.table();
        if let Some(held) = table.peers.get_mut(&self.peer) {
            *held -= 1;
            if *held == 0 {
                table.peers.remove(&self.peer);
            }
        }
    }
}

/// What counts as one peer: an IPv4 address, or the /64 network that an IPv6 host has for itself.
#[must_use]
pub fn peer_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Cli;

    fn limiter(capacity: usize, per_peer: usize) -> Arc<ConnectionLimiter> {
        let limits = RequestLimits {
            max_connections: capacity,
            max_connections_per_peer: per_peer,
            ..Cli::parse_from(["colophon"]).settings.limits.requests
        };
        ConnectionLimiter::new(&limits, false)
    }

    #[tokio::test]
    async fn limits_connections_per_peer_and_releases_them() {
        let (limiter, peer) = (limiter(3, 1), IpAddr::from([127, 0, 0, 1]));
        let held = limiter.acquire(Some(peer)).await.unwrap();
        assert!(limiter.acquire(Some(peer)).await.is_err());
        limiter.acquire(Some([127, 0, 0, 2].into())).await.unwrap();
        drop(held);
        limiter.acquire(Some(peer)).await.unwrap();
        let table = limiter.table();
        assert!(table.taken == 0 && table.peers.is_empty() && table.connections.is_empty());
    }

    #[tokio::test]
    async fn counts_proxied_requests_for_their_client() {
        let (limiter, client) = (limiter(3, 1), IpAddr::from([192, 0, 2, 7]));
        let proxy = (limiter.acquire(None).await.unwrap(), limiter.acquire(None).await.unwrap());
        let held = limiter.share(client).unwrap();
        assert!(limiter.share(client).is_err() && limiter.acquire(Some(client)).await.is_err());
        limiter.share([192, 0, 2, 8].into()).unwrap();
        drop((held, proxy));
        assert!(limiter.share(client).is_ok() && limiter.table().peers.is_empty());
    }

    #[tokio::test]
    async fn evicts_the_connection_idle_for_longest() {
        let limiter = limiter(2, 2);
        let first = limiter.acquire(Some([127, 0, 0, 1].into())).await.unwrap();
        let second = limiter.acquire(Some([127, 0, 0, 2].into())).await.unwrap();
        let asked = first.state().clone();
        let leaving = async move {
            asked.evicted().await;
            drop(first);
        };
        let (third, ()) = tokio::join!(limiter.acquire(Some([127, 0, 0, 3].into())), leaving);
        third.unwrap();
        drop(second);
    }

    #[test]
    fn groups_addresses_by_host() {
        let peer_key = |text: &str| super::peer_key(text.parse().unwrap()).to_string();
        assert_eq!(peer_key("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(peer_key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_ne!(peer_key("2001:db8:1:3::1"), peer_key("2001:db8:1:2::1"));
    }
}
