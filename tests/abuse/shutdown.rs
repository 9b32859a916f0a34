//! Signals in the middle of traffic.

use std::time::{Duration, Instant};

use serde_json::json;
use testing::{Db, Service, allowed, full, socket::Client, wait_until};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    connections::value,
    http::{Connection, half_head, peer, post},
    turn,
};

/// Takes a while, so that some are always in flight.
const QUERY: &str = "{ labSleep(ms: 200) books(first: 2) { nodes { title } } }";
/// Fifty a second.
const INTERVAL: Duration = Duration::from_millis(20);

/// When a request was sent, and whether it was answered.
type Asked = (Instant, Result<u16, String>);

#[tokio::test(flavor = "multi_thread")]
async fn loses_no_request_on_sigterm() {
    let _turn = turn().await;
    for _ in 0..if full() { 10 } else { 2 } {
        let db = Db::sqlite();
        let mut service = db.serve_with(&["--sample", "--lab"]).await;
        let mut others = Vec::new();
        for number in 0..20 {
            let mut idle = Connection::from(peer(number), &service).await.unwrap();
            assert_eq!(idle.ask(&post("{ books { totalCount } }")).await.unwrap().status, 200);
            let mut half = Connection::from(peer(number), &service).await.unwrap();
            half.send(half_head()).await.unwrap();
            others.extend([idle, half]);
        }
        let sockets = sockets(&service).await;
        let (signalled, asked) = with_traffic(&service, async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let signalled = Instant::now();
            service.signal("-TERM");
            wait_until("not ready", async || service.readyz().await == 503).await;
            let unready = signalled.elapsed();
            assert!(unready < allowed(Duration::from_millis(100)), "{unready:?}");
            // Supervisors are known to say it again.
            service.signal("-TERM");
            signalled
        })
        .await;
        assert_eq!(service.wait().code(), Some(0));
        assert!(signalled.elapsed() < Duration::from_secs(10), "{:?}", signalled.elapsed());
        let in_flight = asked.iter().filter(|(sent, _)| *sent <= signalled);
        let lost: Vec<_> = in_flight.clone().filter(|(_, result)| *result != Ok(200)).collect();
        assert!(lost.is_empty() && in_flight.count() >= 40, "{lost:?}");
        assert!(asked.iter().all(|(_, result)| !matches!(result, Ok(status) if *status != 200)));
        drop(others);
        sockets.join_all().await;
    }
}

/// Sockets, idle ones and such as have an operation running: it is answered before the end.
async fn sockets(service: &Service) -> JoinSet<()> {
    let mut sockets = JoinSet::new();
    for number in 0..10 {
        let mut socket = Client::hello(service).await;
        sockets.spawn(async move {
            if number % 2 == 0 {
                socket.subscribe("1", "{ labSleep(ms: 3000) }").await;
                assert_eq!(socket.answer("1").await, json!({ "data": { "labSleep": true } }));
            }
            assert_eq!(socket.closed().await.0, 1001);
        });
    }
    sockets
}

#[tokio::test(flavor = "multi_thread")]
async fn exits_at_once_on_a_second_interrupt() {
    let _turn = turn().await;
    let db = Db::sqlite();
    let mut service = db.serve_with(&["--sample", "--lab"]).await;
    let mut connection = Connection::from(peer(1), &service).await.unwrap();
    connection.send(post("{ labSleep(ms: 4000) }")).await.unwrap();
    let active = "graphql_server_active_requests{graphql_operation_type=\"query\"}";
    wait_until("the operation", async || value(&service, active).await == 1).await;
    service.signal("-INT");
    service.wait_for_log("the drain", |event| event["drain.signal"] == "SIGINT");
    let signalled = Instant::now();
    service.signal("-INT");
    assert_eq!(service.wait().code(), Some(1));
    assert!(signalled.elapsed() < Duration::from_secs(3), "{:?}", signalled.elapsed());
}

/// Asks fifty times a second while `work` is done and until nobody answers any more, half of it
/// on connections that stay open. Answers what the work did and what was asked.
async fn with_traffic<T>(service: &Service, work: impl AsyncFnOnce() -> T) -> (T, Vec<Asked>) {
    let mut requests = JoinSet::new();
    let mut asked = Vec::new();
    let mut kept = Vec::new();
    let mut work = std::pin::pin!(work());
    let mut done = None;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        tokio::select! {
            result = work.as_mut(), if done.is_none() => { done = Some(result); continue; }
            _ = ticks.tick() => {}
        }
        while let Some(finished) = requests.try_join_next() {
            let (connection, asked_one): (Option<Connection>, Asked) = finished.unwrap();
            kept.extend(connection);
            asked.push(asked_one);
        }
        let kept = if number % 2 == 0 { kept.pop() } else { None };
        let connection = match kept {
            Some(connection) => connection,
            None => match Connection::from(peer(100 + number % 50), service).await {
                Ok(connection) => connection,
                Err(_) if done.is_some() => break,
                Err(error) => panic!("{error}"),
            },
        };
        requests.spawn(ask(connection));
    }
    while let Some(finished) = requests.join_next().await {
        asked.push(finished.unwrap().1);
    }
    (done.unwrap(), asked)
}

/// Asks once, and gives the connection back if it can be used again.
async fn ask(mut connection: Connection) -> (Option<Connection>, Asked) {
    let request = post(QUERY);
    let sent = connection.send(&request).await;
    let at = Instant::now();
    let result = match sent {
        Ok(()) => connection.response().await,
        Err(error) => Err(error),
    };
    match result {
        Ok(answer) => {
            let is_last = answer.head.to_ascii_lowercase().contains("connection: close");
            ((!is_last).then_some(connection), (at, Ok(answer.status)))
        }
        Err(error) => (None, (at, Err(error.to_string()))),
    }
}
