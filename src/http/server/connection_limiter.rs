//! The places for connections: so many in all, so many for each peer, and who gives way when all
//! are taken.

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
    http::server::connection_state::{Activity, Waiting},
};

/// How long each connection may wait for the head of a request even if others want its place.
/// The head comes with the packet that opens a connection, or right behind it.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long to wait for a place before looking again who could give way.
const RETRY: Duration = Duration::from_millis(10);

/// The places of a listener.
#[derive(Debug)]
pub struct Slots {
    capacity: usize,
    per_peer: usize,
    table: Mutex<Table>,
    freed: Notify,
    /// Whether its connections are in the metrics.
    pub measured: bool,
}

#[derive(Debug, Default)]
struct Table {
    taken: usize,
    last_id: u64,
    peers: HashMap<IpAddr, usize>,
    /// Those that may be asked to give way.
    connections: HashMap<u64, Arc<Activity>>,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub struct Slot {
    id: u64,
    slots: Arc<Slots>,
    activity: Arc<Activity>,
    _share: Option<Share>,
    _open: Option<Open>,
}

/// One of the connections that a peer may have, until it is dropped.
#[derive(Debug)]
pub struct Share {
    peer: IpAddr,
    slots: Arc<Slots>,
}

/// The peer has as many connections as one may have.
#[derive(Clone, Copy, Debug)]
pub struct TooMany;

impl Slots {
    /// As many as `limits` allow.
    pub fn new(limits: &RequestLimits, measured: bool) -> Arc<Self> {
        Arc::new(Self {
            capacity: limits.max_connections,
            per_peer: limits.max_connections_per_peer,
            table: Mutex::default(),
            freed: Notify::new(),
            measured,
        })
    }

    /// A place for a connection of `peer`, as soon as there is one: another connection may have
    /// to go for it. Without `peer` it counts for nobody.
    pub async fn take(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Slot, TooMany> {
        loop {
            if let Some(slot) = self.try_take(peer)? {
                return Ok(slot);
            }
            self.make_room();
            let _ = timeout(RETRY, self.freed.notified()).await;
        }
    }

    fn try_take(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Option<Slot>, TooMany> {
        let mut table = self.table();
        let peer = peer.map(site);
        if peer.is_some_and(|peer| table.is_full(peer, self.per_peer)) {
            return Err(TooMany);
        }
        if table.taken >= self.capacity {
            return Ok(None);
        }
        let share = peer.map(|peer| self.count(&mut table, peer));
        let (id, activity) = (table.last_id + 1, Arc::<Activity>::default());
        table.last_id = id;
        table.taken += 1;
        table.connections.insert(id, activity.clone());
        drop(table);
        let open = self.measured.then(Open::new);
        Ok(Some(Slot { id, slots: self.clone(), activity, _share: share, _open: open }))
    }

    /// Counts a request or a socket of `client`, who comes through a proxy, like a connection of
    /// its own.
    pub fn share(self: &Arc<Self>, client: IpAddr) -> Result<Share, TooMany> {
        let (mut table, client) = (self.table(), site(client));
        if table.is_full(client, self.per_peer) {
            return Err(TooMany);
        }
        Ok(self.count(&mut table, client))
    }

    fn count(self: &Arc<Self>, table: &mut Table, peer: IpAddr) -> Share {
        *table.peers.entry(peer).or_default() += 1;
        Share { peer, slots: self.clone() }
    }

    /// Has the connection go that is the first to give way, if there is one.
    pub fn make_room(&self) {
        let mut table = self.table();
        let candidate = |(id, activity): (&u64, &Arc<Activity>)| -> Option<(Waiting, u64)> {
            activity.waiting().filter(|w| w.since.elapsed() >= PATIENCE).map(|w| (w, *id))
        };
        let first = table.connections.iter().filter_map(candidate).min();
        if let Some(activity) = first.and_then(|(_, id)| table.connections.remove(&id)) {
            activity.give_way();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// What its connection is doing.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Its connection speaks HTTP no longer, and need not give way any more.
    pub fn stay(&self) {
        self.slots.table().connections.remove(&self.id);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.slots.table();
        table.taken -= 1;
        table.connections.remove(&self.id);
        drop(table);
        self.slots.freed.notify_one();
    }
}

impl Table {
    fn is_full(&self, peer: IpAddr, limit: usize) -> bool {
        self.peers.get(&peer).is_some_and(|held| *held >= limit)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut table = self.slots.table();
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
pub fn site(address: IpAddr) -> IpAddr {
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

    fn slots(capacity: usize, per_peer: usize) -> Arc<Slots> {
        let limits = RequestLimits {
            max_connections: capacity,
            max_connections_per_peer: per_peer,
            ..Cli::parse_from(["colophon"]).settings.limits.requests
        };
        Slots::new(&limits, false)
    }

    #[tokio::test]
    async fn a_peer_gets_its_share_and_gets_it_again() {
        let (slots, peer) = (slots(3, 1), IpAddr::from([127, 0, 0, 1]));
        let held = slots.take(Some(peer)).await.unwrap();
        assert!(slots.take(Some(peer)).await.is_err());
        slots.take(Some([127, 0, 0, 2].into())).await.unwrap();
        drop(held);
        slots.take(Some(peer)).await.unwrap();
        let table = slots.table();
        assert!(table.taken == 0 && table.peers.is_empty() && table.connections.is_empty());
    }

    #[tokio::test]
    async fn what_comes_through_a_proxy_counts_for_its_client() {
        let (slots, client) = (slots(3, 1), IpAddr::from([192, 0, 2, 7]));
        let proxy = (slots.take(None).await.unwrap(), slots.take(None).await.unwrap());
        let held = slots.share(client).unwrap();
        assert!(slots.share(client).is_err() && slots.take(Some(client)).await.is_err());
        slots.share([192, 0, 2, 8].into()).unwrap();
        drop((held, proxy));
        assert!(slots.share(client).is_ok() && slots.table().peers.is_empty());
    }

    #[tokio::test]
    async fn the_one_that_waited_longest_gives_way() {
        let slots = slots(2, 2);
        let first = slots.take(Some([127, 0, 0, 1].into())).await.unwrap();
        let second = slots.take(Some([127, 0, 0, 2].into())).await.unwrap();
        let asked = first.activity().clone();
        let leaving = async move {
            asked.must_give_way().await;
            drop(first);
        };
        let (third, ()) = tokio::join!(slots.take(Some([127, 0, 0, 3].into())), leaving);
        third.unwrap();
        drop(second);
    }

    #[test]
    fn a_site_is_a_host() {
        let site = |text: &str| super::site(text.parse().unwrap()).to_string();
        assert_eq!(site("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(site("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_ne!(site("2001:db8:1:3::1"), site("2001:db8:1:2::1"));
    }
}
