//! Ten times as many clients as the service can serve.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use testing::{
    Db, Service, allowed, full,
    probe::{Probe, percentile},
    wait_until,
};
use tokio::task::JoinSet;

use crate::{
    connections::value,
    http::{Connection, allow_many_sockets, header, peer, post},
    slow::memory,
    turn,
};

const QUERY: &str = "{ books(first: 50) { nodes { id title authors { id name } } } }";
/// So many clients, each of which asks again as soon as it is answered, keep the service busy.
const ENOUGH: usize = if cfg!(debug_assertions) { 8 } else { 16 };

/// As it is if nothing is said; other tests wait longer.
const QUEUE_WAIT: &str = "--queue-wait=50ms";

/// Bytes that have to be enough for the service.
const MEMORY: u64 = 256 << 20;

/// A control group whose processes have only so much memory, and are killed if they need more.
struct Cage {
    folder: PathBuf,
    is_unified: bool,
}

impl Cage {
    fn of(bytes: u64) -> Self {
        let is_unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let all = Path::new("/sys/fs/cgroup").join(if is_unified { "" } else { "memory" });
        let folder = all.join(format!("colophon-{}", process::id()));
        fs::create_dir(&folder).unwrap();
        let limit = if is_unified { "memory.max" } else { "memory.limit_in_bytes" };
        fs::write(folder.join(limit), bytes.to_string()).unwrap();
        Self { folder, is_unified }
    }

    /// A line of shell that enters it.
    fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.folder.display())
    }

    /// How many processes were killed.
    fn kills(&self) -> u64 {
        let file = if self.is_unified { "memory.events" } else { "memory.oom_control" };
        let told = fs::read_to_string(self.folder.join(file)).unwrap();
        let kills = told.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.unwrap().parse().unwrap()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // It stays while there is a process in it.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// What a crowd of clients got.
#[derive(Default)]
struct Outcome {
    time: Duration,
    good: Vec<Duration>,
    refused: Vec<Duration>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.time += other.time;
        self.good.extend(other.good);
        self.refused.extend(other.refused);
    }

    /// Good answers a second.
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    fn rate(&self) -> f64 {
        self.good.len() as f64 / self.time.as_secs_f64()
    }
}

/// The share of the peak that must be left. A build without optimisation takes a millisecond for
/// a refusal; that is what it can show, and that refusals do not grow with the crowd.
const GOODPUT: f64 = if cfg!(debug_assertions) { 0.5 } else { 0.8 };

#[tokio::test(flavor = "multi_thread")]
async fn keeps_latency_of_admitted_operations_under_overload() {
    let _turn = turn().await;
    allow_many_sockets();
    // That takes a machine of one's own.
    let cage = full().then(|| Cage::of(MEMORY));
    let enter = cage.as_ref().map_or("true".into(), Cage::enter);
    let service = Db::sqlite().serve_after(&enter, &["--sample", QUEUE_WAIT]).await;
    ask(&service, ENOUGH, Duration::from_secs(1)).await;
    // In turns, since the machine may have other things to do.
    let (rounds, seconds) = if full() { (1, 60) } else { (2, 4) };
    let (mut peak, mut overload) = (Outcome::default(), Outcome::default());
    for _ in 0..rounds {
        peak.add(ask(&service, ENOUGH, Duration::from_secs(seconds / 2)).await);
        overload.add(ask(&service, 10 * ENOUGH, Duration::from_secs(seconds)).await);
        peak.add(ask(&service, ENOUGH, Duration::from_secs(seconds / 2)).await);
    }
    overload.add(ask(&service, 10 * ENOUGH, Duration::from_secs(2)).await);
    let over = Instant::now();
    let goodput = overload.rate() / peak.rate();
    let (served, refused) = (percentile(overload.good, 99), overload.refused.len());
    assert!(refused > 0, "the load is no overload");
    let refusal = percentile(overload.refused, 99);
    let resident = memory(&service, "VmHWM") >> 20;
    println!(
        "peak {:.0}/s; under overload {:.0} % of it, p99 {served:?}; {refused} refusals, p99 \
         {refusal:?}; {resident} MiB",
        peak.rate(),
        100.0 * goodput
    );
    assert!(goodput >= GOODPUT, "{goodput}");
    assert!(resident <= MEMORY >> 20, "{resident} MiB");
    assert_eq!(cage.as_ref().map_or(0, Cage::kills), 0);
    let counted = value(&service, "graphql_server_errors_total{error_type=\"OVERLOADED\"}").await;
    assert_eq!(counted, refused as u64);
    // Told once a minute and not for each.
    let told = |level: &str| service.log().iter().filter(|event| event["level"] == level).count();
    assert!(told("WARN") <= 2 && told("ERROR") == 0, "{:#?}", service.log());

    let probe = Probe::with(&service, QUERY);
    tokio::time::sleep(Duration::from_secs(2).saturating_sub(over.elapsed())).await;
    probe.saw_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_overload_soon_with_retry_after() {
    let _turn = turn().await;
    let service =
        Db::sqlite().serve_with(&["--sample", "--lab", "--max-operations", "2", QUEUE_WAIT]).await;
    let mut running = Vec::new();
    for number in 0..2 {
        let mut connection = Connection::from(peer(number), &service).await.unwrap();
        connection.send(post("{ labSleep(ms: 2000) }")).await.unwrap();
        running.push(connection);
    }
    let active = "graphql_server_active_requests{graphql_operation_type=\"query\"}";
    wait_until("both", async || value(&service, active).await == 2).await;
    let mut durations = Vec::new();
    let mut connection = Connection::from(peer(3), &service).await.unwrap();
    for _ in 0..10 {
        let asked = Instant::now();
        let answer = connection.ask(&post("{ books { totalCount } }")).await.unwrap();
        durations.push(asked.elapsed());
        assert_eq!((answer.status, answer.code().as_str()), (503, "OVERLOADED"));
        assert_eq!(header(&answer.head, "retry-after"), Some("1"));
    }
    let p90 = percentile(durations, 90);
    assert!(
        (Duration::from_millis(50)..allowed(Duration::from_millis(100))).contains(&p90),
        "{p90:?}"
    );
    for connection in &mut running {
        assert_eq!(connection.response().await.unwrap().status, 200);
    }
    let answer = connection.ask(&post("{ books { totalCount } }")).await.unwrap();
    assert_eq!(answer.status, 200);
    let told = service.log().iter().filter(|event| event["level"] == "WARN").count();
    assert_eq!(told, 1);
}

/// Two sockets' worth of slow operations of one client, and what another gets meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn serves_others_beside_a_greedy_client() {
    let _turn = turn().await;
    let service = Db::sqlite().serve_with(&["--sample", "--lab", QUEUE_WAIT]).await;
    let mut running = Vec::new();
    for _ in 0..32 {
        let mut connection = Connection::from(peer(0), &service).await.unwrap();
        connection.send(post("{ labSleep(ms: 4000) }")).await.unwrap();
        running.push(connection);
    }
    let active = "graphql_server_active_requests{graphql_operation_type=\"query\"}";
    wait_until("its share", async || value(&service, active).await == 24).await;
    for number in 1..9 {
        let mut connection = Connection::from(peer(number), &service).await.unwrap();
        let answer = connection.ask(&post("{ books { totalCount } }")).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(value(&service, active).await, 24);
    let mut statuses = Vec::new();
    for connection in &mut running {
        statuses.push(connection.response().await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 24].as_slice(), &[503; 8]].concat());
}

/// Lets `clients` ask for `time`, each as soon as it is answered, be it by a refusal.
async fn ask(service: &Service, clients: usize, time: Duration) -> Outcome {
    let stop = Arc::<AtomicBool>::default();
    let mut crowd = JoinSet::new();
    for number in 0..clients {
        let mut connection = Connection::from(peer(number), service).await.unwrap();
        let stop = stop.clone();
        crowd.spawn(async move {
            let (request, mut outcome) = (post(QUERY), Outcome::default());
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let answer = connection.ask(&request).await.unwrap();
                match answer.status {
                    200 if !answer.body.is_empty() => outcome.good.push(asked.elapsed()),
                    503 if answer.code() == "OVERLOADED" => outcome.refused.push(asked.elapsed()),
                    _ => panic!("{answer:?}"),
                }
            }
            outcome
        });
    }
    let began = Instant::now();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Outcome::default();
    while let Some(outcome) = crowd.join_next().await {
        all.add(outcome.unwrap());
    }
    all.time = began.elapsed();
    all
}
