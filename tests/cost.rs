//! What a response costs, counted in allocations: unlike time, they are the same on every machine,
//! however busy it is. What is counted is the whole service with all its telemetry, exported to a
//! collector: the program of these tests is the service too, with an allocator that counts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    alloc::System,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
};

use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema, SimpleObject};
use clap::Parser;
use colophon::{cli::serve, config::Cli};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use testing::{Db, Service, collector::Collector, program};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One book by its id.
const BOOK: &str = "query Book($id: ID!) { book(id: $id) { id title pages createdAt } }";
/// A list with a list in it.
const LIST: &str =
    "query List($first: Int!) { books(first: $first) { nodes { id title authors { name } } } }";

#[test]
#[ignore = "the service whose allocations are counted: the other tests start it"]
fn service() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("\n{}", json!({ "counts": listener.local_addr().unwrap() }));
    thread::spawn(move || {
        for asked in listener.incoming() {
            let stats = ALLOCATOR.stats();
            let count = stats.allocations + stats.reallocations;
            asked.unwrap().write_all(count.to_string().as_bytes()).unwrap();
        }
    });
    // Its end is that of the test that started it.
    let _ = serve::run(Cli::parse_from(["colophon", "serve", "--sample"]).settings, Vec::new());
}

/// A service that counts.
struct Counting {
    service: Service,
    counts: String,
}

impl Counting {
    async fn start(db: &Db, variables: &[(&str, &str)]) -> Self {
        let ours = std::env::current_exe().unwrap();
        let mut command = Command::new(ours);
        for (name, value) in program(&[]).get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(["service", "--exact", "--ignored", "--nocapture"]).stdin(Stdio::null());
        command.current_dir(db.dir.path()).env("DATABASE_URL", &db.url);
        command.env("COLOPHON_LISTEN", "127.0.0.1:0").env("COLOPHON_ADMIN_LISTEN", "127.0.0.1:0");
        command.envs(variables.iter().copied());
        let mut service = Service::start(command, db.dir.clone());
        let told = service.wait_for_log("the address", |event| event["counts"].is_string());
        service.ready().await;
        // On PostgreSQL the sample goes in when the service is ready already.
        let count = "{ books { totalCount } }";
        while service.data(count, json!({})).await["books"]["totalCount"].as_u64() < Some(100) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Self { service, counts: told["counts"].as_str().unwrap().to_owned() }
    }

    /// Everything on: traces, metrics and logs to a collector, the scrape, the profile.
    async fn observed(db: &Db, collector: &Collector) -> Self {
        let exported = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http.as_str());
        Self::start(db, &[exported, ("OTEL_TRACES_SAMPLER", "always_on")]).await
    }

    async fn unobserved(db: &Db) -> Self {
        let off = [("OTEL_SDK_DISABLED", "true"), ("COLOPHON_RUNTIME_PROFILING", "false")];
        // Its addresses come in a line of its log.
        let log = ("RUST_LOG", "warn,colophon::cli::serve=info");
        Self::start(db, &[off[0], off[1], log]).await
    }

    fn count(&self) -> u64 {
        let mut count = String::new();
        TcpStream::connect(&self.counts).unwrap().read_to_string(&mut count).unwrap();
        count.parse().unwrap()
    }

    /// Allocations for a response. What the service does beside answering is counted too, so that
    /// the least of several rounds is nearest to the truth.
    async fn cost(&self, document: &str, variables: Value) -> u64 {
        const ROUNDS: u64 = 8;
        const ANSWERS: u64 = 40;
        let mut least = u64::MAX;
        for _ in 0..ROUNDS {
            let before = self.count();
            for _ in 0..ANSWERS {
                self.service.data(document, variables.clone()).await;
            }
            least = least.min((self.count() - before) / ANSWERS);
        }
        least
    }
}

async fn check(db: Db, book: u64, list: u64) {
    let collector = Collector::start();
    let counting = Counting::observed(&db, &collector).await;
    let costs = [
        (BOOK, counting.cost(BOOK, json!({ "id": "book_1" })).await, book),
        (LIST, counting.cost(LIST, json!({ "first": 50 })).await, list),
    ];
    println!("{costs:?}");
    for (document, cost, known) in costs {
        // Less is good, and is to be written down here, so that it stays so.
        let expected = known * 9 / 10..=known * 11 / 10;
        assert!(expected.contains(&cost), "{document}: {cost} allocations, not about {known}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_allocations_of_a_response_on_sqlite() {
    check(Db::sqlite(), 142, 1_551).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_allocations_of_a_response_on_postgres() {
    check(Db::postgres().await, 144, 1_544).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_telemetry_costs_does_not_grow_with_a_list() {
    let (collector, on, off) = (Collector::start(), Db::sqlite(), Db::sqlite());
    let (on, off) = (Counting::observed(&on, &collector).await, Counting::unobserved(&off).await);
    let mut differences = Vec::new();
    for first in [10, 100] {
        let variables = json!({ "first": first });
        let (on, off) = (on.cost(LIST, variables.clone()).await, off.cost(LIST, variables).await);
        println!("{first}: {on} with telemetry, {off} without");
        differences.push(on - off);
    }
    assert!(differences[1] < differences[0] + 20, "{differences:?}");
}

/// If this fails, async-graphql has learnt it, and `graphql::compat::resolve_inline` can go.
#[tokio::test]
async fn async_graphql_makes_a_future_for_each_field() {
    #[derive(Clone, SimpleObject)]
    struct Row {
        a: i32,
        b: i32,
        c: i32,
        d: i32,
    }
    struct Query;
    #[Object]
    impl Query {
        async fn rows(&self) -> Vec<Row> {
            vec![Row { a: 1, b: 2, c: 3, d: 4 }; 100]
        }
    }
    let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
    let mut allocations = [u64::MAX; 2];
    for (least, query) in allocations.iter_mut().zip(["{ rows { a } }", "{ rows { a b c d } }"]) {
        // Other tests allocate, too.
        for _ in 0..100 {
            let before = ALLOCATOR.stats().allocations as u64;
            assert!(schema.execute(query).await.is_ok());
            *least = (*least).min(ALLOCATOR.stats().allocations as u64 - before);
        }
    }
    let [one, four] = allocations;
    assert!(four > one + 300, "three more fields of 100 objects take {} allocations", four - one);
}
