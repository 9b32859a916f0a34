//! How telemetry gets out: by every protocol, past every trouble of the collector, to the last
//! span.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use socket2::SockRef;
use testing::{
    Db, Service,
    collector::{Collector, Options, free_port, prompt},
    trace_of,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const DOCUMENT: &str = "{ books { totalCount } }";

/// Sends a request and waits until its trace, its log record and the metrics have arrived.
async fn everything_arrives(service: &Service, collector: &Collector) {
    let (trace, answer) = service.traced(DOCUMENT, json!({})).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    collector.trace(&trace);
    collector.wait("its log record", |c| c.records().iter().any(|record| record.trace == trace));
    collector.wait("metrics", |c| !c.metrics().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn by_grpc_and_by_http_compressed_or_not() {
    for protocol in ["grpc", "http/protobuf"] {
        for compression in ["none", "gzip"] {
            let collector = Collector::start();
            let endpoint = if protocol == "grpc" { &collector.grpc } else { &collector.http };
            let mut variables = prompt(endpoint);
            variables.push(("OTEL_EXPORTER_OTLP_PROTOCOL", protocol));
            variables.push(("OTEL_EXPORTER_OTLP_COMPRESSION", compression));
            let service = Db::sqlite().serve_in(&variables).await;
            everything_arrives(&service, &collector).await;
        }
    }
}

/// The collector shows a certificate of an authority of its own and wants a header; both are told
/// by variables.
#[tokio::test(flavor = "multi_thread")]
async fn by_tls_with_a_token() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let db = Db::sqlite();
    let certificate = db.file("collector.pem", certified.cert.pem());
    let key = db.file("collector.key", certified.signing_key.serialize_pem());
    let tls =
        format!("tls: {{ cert_file: {}, key_file: {} }}", certificate.display(), key.display());
    let overlay = format!(
        "receivers: {{ otlp: {{ protocols: {{
            grpc: {{ {tls}, auth: {{ authenticator: bearertokenauth }} }},
            http: {{ {tls}, auth: {{ authenticator: bearertokenauth }} }} }} }} }}
extensions: {{ bearertokenauth: {{ token: opensesame }} }}
service: {{ extensions: [health_check, bearertokenauth] }}"
    );
    let collector =
        Collector::start_with(&Options { overlay: Some(&overlay), ..Options::default() });
    let secure = |url: &str| url.replace("http://127.0.0.1", "https://localhost");
    for (protocol, endpoint) in
        [("grpc", secure(&collector.grpc)), ("http/protobuf", secure(&collector.http))]
    {
        let trusted = certificate.display().to_string();
        let mut variables = prompt(&endpoint);
        variables.push(("OTEL_EXPORTER_OTLP_PROTOCOL", protocol));
        variables.push(("OTEL_EXPORTER_OTLP_CERTIFICATE", &trusted));
        variables.push(("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20opensesame"));
        let service = Db::sqlite().serve_in(&variables).await;
        everything_arrives(&service, &collector).await;

        // Whoever does not trust the certificate, or has no token, sends nothing.
        let before = collector.spans().len();
        for missing in ["OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_HEADERS"] {
            let mut without = variables.clone();
            without.retain(|(name, _)| *name != missing);
            let mut stranger = Db::sqlite().serve_in(&without).await;
            stranger.data(DOCUMENT, json!({})).await;
            stranger.wait_for_log("the failure", |e| e["event"] == "telemetry.export_failed");
        }
        drop(service);
        assert!(collector.spans().len() - before < 30, "what strangers sent was refused");
    }
}

/// A collector's trouble, and its end.
#[derive(Clone, Copy)]
enum Trouble {
    /// Nothing listens at its port.
    Absent,
    /// It was there, and is gone.
    Gone,
    /// It takes connections and says nothing.
    Frozen,
    /// It answers 503.
    Overloaded,
}

/// Requests are answered as if nothing were the matter; memory stays where it is; what is lost is
/// counted, and told at most once a minute; and when the collector is back, telemetry flows.
async fn trouble_is_survived(trouble: Trouble) {
    let port = free_port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut variables = prompt(&endpoint);
    variables.extend([
        ("OTEL_BSP_MAX_QUEUE_SIZE", "512"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "512"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "256"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
    ]);
    let start = || Collector::start_with(&Options { http_port: Some(port), ..Options::default() });
    let overloaded = matches!(trouble, Trouble::Overloaded).then(|| Overloaded::at(port));
    let mut collector = matches!(trouble, Trouble::Gone | Trouble::Frozen).then(start);
    let service = Db::sqlite().serve_in(&variables).await;
    if let Some(collector) = &collector {
        everything_arrives(&service, collector).await;
    }
    match trouble {
        Trouble::Gone => collector = None,
        Trouble::Frozen => collector.as_ref().unwrap().signal("-STOP"),
        Trouble::Absent | Trouble::Overloaded => {}
    }
    // By then every queue is full, and the service has the memory that it needs under load.
    load(&service, 1000).await;
    let before = resident(&service);
    let slowest = load(&service, 2000).await;
    assert!(slowest < Duration::from_secs(3), "a request waited for the collector: {slowest:?}");
    let grown = resident(&service).saturating_sub(before);
    assert!(grown < 15_000_000, "{grown} bytes more");
    lost_is_counted(&service).await;
    let warnings = service.log().iter().filter(|line| line["level"] == "WARN").count();
    assert_eq!(warnings, 1, "one warning a minute: {:#?}", service.log());

    drop(overloaded);
    let collector = match collector {
        Some(frozen) => {
            frozen.signal("-CONT");
            frozen
        }
        None => start(),
    };
    let back = Instant::now();
    loop {
        let (trace, _) = service.traced(DOCUMENT, json!({})).await;
        let arrived = || collector.spans().iter().any(|span| span.trace == trace);
        let tried = Instant::now();
        while !arrived() && tried.elapsed() < Duration::from_millis(500) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if arrived() {
            break;
        }
        assert!(back.elapsed() < Duration::from_secs(10), "telemetry does not flow again");
    }
    println!("flows again after {:?}, grown by {grown} bytes", back.elapsed());
}

/// Sends requests, some at a time, that must all succeed; tells how long the slowest took.
async fn load(service: &Service, requests: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..requests / 20 {
        let one = || async {
            let started = Instant::now();
            service.data(DOCUMENT, json!({})).await;
            started.elapsed()
        };
        let times = join_all((0..20).map(|_| one())).await;
        slowest = slowest.max(times.into_iter().max().unwrap());
    }
    slowest
}

/// Spans were dropped from a full queue or failed to be exported, and metrics tell how many.
async fn lost_is_counted(service: &Service) {
    let started = Instant::now();
    loop {
        let scrape = service.scrape().await;
        let value = |series: &str| -> f64 {
            let line = scrape.lines().find(|line| line.starts_with(series));
            line.map_or(0.0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        };
        let dropped = value("otel_sdk_processor_span_processed_total{error_type=\"queue_full\"}");
        let failed = value("otel_sdk_exporter_span_exported_total{error_type=\"export_failed\"}");
        if dropped + failed > 0.0 {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(15), "no loss is told: {scrape}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Bytes of memory that the service holds.
fn resident(service: &Service) -> usize {
    let statm = fs::read_to_string(format!("/proc/{}/statm", service.pid())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Something at the collector's port that answers every request with 503.
struct Overloaded {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Overloaded {
    fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                // The head is enough to be rejected for.
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(
                    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                );
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Overloaded {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_absent_is_survived() {
    trouble_is_survived(Trouble::Absent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_goes_away_is_survived() {
    trouble_is_survived(Trouble::Gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_frozen_is_survived() {
    trouble_is_survived(Trouble::Frozen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_overloaded_is_survived() {
    trouble_is_survived(Trouble::Overloaded).await;
}

/// Sends requests one after the other until the service takes no more; the traces of those that
/// were answered.
async fn until_refused(service: &Service, answered: &AtomicUsize) -> Vec<String> {
    let mut traces = Vec::new();
    loop {
        let request = service
            .client
            .post(format!("{}/graphql", service.url))
            .json(&json!({ "query": DOCUMENT }))
            .send();
        match request.await {
            Ok(response) if response.status() == 200 => {
                traces.push(trace_of(&response));
                answered.fetch_add(1, Ordering::Relaxed);
            }
            _ => return traces,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_trace_arrives() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    // Long enough that only the end of the process sends what waits.
    variables.retain(|(name, _)| *name != "OTEL_BSP_SCHEDULE_DELAY");
    variables.push(("OTEL_BSP_SCHEDULE_DELAY", "60000"));
    let mut service = Db::sqlite().serve_in(&variables).await;
    // Parsed and validated once.
    service.data(DOCUMENT, json!({})).await;
    let answered = AtomicUsize::new(0);
    let clients = join_all((0..8).map(|_| until_refused(&service, &answered)));
    let signal = async {
        while answered.load(Ordering::Relaxed) < 200 {
            tokio::task::yield_now().await;
        }
        service.signal("-TERM");
    };
    let (traces, ()) = tokio::join!(clients, signal);
    assert!(service.wait().success());
    let spans = collector.spans();
    let traces: Vec<_> = traces.into_iter().flatten().collect();
    for trace in &traces {
        let of_trace = spans.iter().filter(|span| span.trace == *trace);
        // HTTP, operation, execution, two fields that do I/O with a statement each.
        assert_eq!(of_trace.count(), 7, "trace {trace}");
    }
    let stopped = service
        .log()
        .into_iter()
        .find(|line| line["event"] == "telemetry.stopped")
        .expect("one line tells what became of the telemetry");
    assert_eq!(stopped["telemetry.export.lost"], "0 spans, 0 log records, 0 data points");
    let told = format!("{} spans, ", spans.len());
    assert!(
        stopped["telemetry.export.exported"].as_str().unwrap().starts_with(&told),
        "{stopped} of {told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_collector_does_not_hold_up_the_end() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    variables.push(("COLOPHON_FLUSH_TIMEOUT", "2s"));
    let mut service = Db::sqlite().serve_in(&variables).await;
    everything_arrives(&service, &collector).await;
    collector.signal("-STOP");
    load(&service, 200).await;
    let told = Instant::now();
    service.signal("-TERM");
    assert!(service.wait().success(), "requests were answered: telemetry is not their affair");
    assert!(told.elapsed() < Duration::from_secs(4), "it took {:?}", told.elapsed());
    let log = service.log();
    let stopped = log.iter().find(|line| line["event"] == "telemetry.stopped").unwrap();
    assert_eq!(stopped["level"], "WARN");
    let lost = stopped["telemetry.export.lost"].as_str().unwrap().split(' ').next().unwrap();
    assert!(lost.parse::<u64>().unwrap() > 1000, "{stopped}");
}

/// Exports a hundred times at the level at which the crates that the exporters are made of tell of
/// every frame.
async fn exporting_tells_nothing(protocol: &str) {
    let collector = Collector::start();
    let endpoint = if protocol == "grpc" { &collector.grpc } else { &collector.http };
    let mut variables = prompt(endpoint);
    variables.extend([("OTEL_EXPORTER_OTLP_PROTOCOL", protocol), ("RUST_LOG", "trace")]);
    let service = Db::sqlite().serve_in(&variables).await;
    everything_arrives(&service, &collector).await;
    let (spans, records) = (collector.spans().len(), collector.records().len());
    let exports = collector.raw().lines().count();
    collector.wait_for("a hundred exports more", Duration::from_mins(2), |collector| {
        (collector.raw().lines().count() > exports + 100).then_some(())
    });
    assert_eq!(collector.spans().len(), spans);
    let mut new = collector.records().split_off(records);
    // The service closes connections of ours that idle.
    new.retain(|record| record.scope != "colophon::http::server");
    assert!(new.is_empty(), "{new:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exporting_by_grpc_tells_nothing_of_itself() {
    exporting_tells_nothing("grpc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exporting_by_http_tells_nothing_of_itself() {
    exporting_tells_nothing("http/protobuf").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_needs_no_collector() {
    let variables = [
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_METRICS_EXPORTER", "console,prometheus"),
        ("OTEL_LOGS_EXPORTER", "console"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "50"),
    ];
    let mut service = Db::sqlite().serve_in(&variables).await;
    service.data(DOCUMENT, json!({})).await;
    service.scrape().await;
    let parts = [
        ("a span", "GraphQL Operation Execution"),
        ("an attribute of one", "graphql.processing.type"),
        ("an attribute of all statements of a kind", "db.query.text"),
        ("a log record", "http.access"),
    ];
    for (what, part) in parts {
        service.wait_for_log(what, |line| {
            line["raw"].as_str().is_some_and(|line| line.contains(part))
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_cannot_be_used_is_told_at_the_start() {
    let output = Db::sqlite()
        .command(&["serve"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "as for any setting");
    assert!(told.contains("OTEL_EXPORTER_OTLP_ENDPOINT cannot be 'localhost:4317'"), "{told}");
}

/// As an operator for Kubernetes injects them, for whatever SDK there may be.
#[tokio::test(flavor = "multi_thread")]
async fn starts_with_variables_it_does_not_support() {
    let injected = [
        ("OTEL_PROPAGATORS", "tracecontext,baggage,b3"),
        ("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "endpoint=http://localhost:14250"),
        ("OTEL_TRACES_EXPORTER", "otlp,console"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
        ("OTEL_CONFIG_FILE", "/etc/otel.yaml"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", ""),
    ];
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    variables.extend(injected);
    let service = Db::sqlite().serve_in(&variables).await;
    everything_arrives(&service, &collector).await;
    let log = service.log();
    let ignored: Vec<_> = log
        .iter()
        .filter(|line| line["event"] == "telemetry.variable_ignored")
        .map(|line| {
            (line["level"].as_str().unwrap(), line["telemetry.variable.name"].as_str().unwrap())
        })
        .collect();
    let warned =
        ["OTEL_CONFIG_FILE", "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_PROPAGATORS"];
    assert_eq!(ignored, warned.map(|variable| ("WARN", variable)), "{log:#?}");
}

/// The empty variable is one that is not set, for metrics as for the other signals.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_of_a_signal_leaves_the_common_one() {
    let overlay = "receivers: { otlp: { protocols: { http: {
            auth: { authenticator: bearertokenauth } } } } }
extensions: { bearertokenauth: { token: opensesame } }
service: { extensions: [health_check, bearertokenauth] }";
    let collector =
        Collector::start_with(&Options { overlay: Some(overlay), ..Options::default() });
    let mut variables = prompt(&collector.http);
    variables.push(("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20opensesame"));
    variables.extend([
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", ""),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", ""),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", ""),
    ]);
    let service = Db::sqlite().serve_in(&variables).await;
    everything_arrives(&service, &collector).await;
}

/// Asks for a path of 60,000 letters.
async fn long_path(service: &Service) {
    let url = format!("{}/{}", service.url, "x".repeat(60_000));
    assert_eq!(service.client.get(url).send().await.unwrap().status(), 404);
}

/// What clients choose has a limit: else a batch is larger than what collectors accept by gRPC, and
/// lost whole.
#[tokio::test(flavor = "multi_thread")]
async fn long_paths_cost_no_batch() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.grpc);
    variables.push(("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"));
    // All of them in one batch.
    variables.retain(|(name, _)| !name.ends_with("SCHEDULE_DELAY"));
    variables.extend([("OTEL_BSP_SCHEDULE_DELAY", "2000"), ("OTEL_BLRP_SCHEDULE_DELAY", "2000")]);
    let mut service = Db::sqlite().serve_in(&variables).await;
    join_all((0..50).map(|_| long_path(&service))).await;
    let (trace, _) = service.traced(DOCUMENT, json!({})).await;
    join_all((0..50).map(|_| long_path(&service))).await;
    collector.trace(&trace);
    service.signal("-TERM");
    assert!(service.wait().success());
    let log = service.log();
    let stopped = log.iter().find(|line| line["event"] == "telemetry.stopped").unwrap();
    assert_eq!(stopped["telemetry.export.lost"], "0 spans, 0 log records, 0 data points");
    let paths: Vec<_> = collector
        .spans()
        .into_iter()
        .filter_map(|span| span.attributes.get("url.path").cloned())
        .collect();
    assert!(paths.len() > 100 && paths.iter().all(|path| path.len() <= 1024));
    let longest = log.iter().map(|line| line.to_string().len()).max();
    assert!(longest < Some(2048), "log lines are cut as well: {longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_has_a_bound_while_the_collector_hangs() {
    let endpoint = hanging_endpoint();
    let service = Db::sqlite().serve_in(&prompt(&endpoint)).await;
    service.data(DOCUMENT, json!({})).await;
    let before = resident(&service);
    for _ in 0..60 {
        join_all((0..20).map(|_| long_path(&service))).await;
    }
    let grown = resident(&service).saturating_sub(before);
    // Documented are 64 MiB; 1,200 requests do not fill the queues.
    assert!(grown < 32 << 20, "{grown} bytes more");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_cut_where_a_variable_says() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    variables.extend([
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "9"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "12"),
    ]);
    let service = Db::sqlite().serve_in(&variables).await;
    let (trace, _) = service.traced(DOCUMENT, json!({})).await;
    let longest = |texts: Vec<String>| texts.iter().map(String::len).max();
    let spans = collector.trace(&trace).into_iter();
    assert_eq!(longest(spans.flat_map(|span| span.attributes.into_values()).collect()), Some(12));
    collector.wait("a log record", |c| c.records().iter().any(|record| record.trace == trace));
    let records = collector.records().into_iter().filter(|record| record.trace == trace);
    let texts = records
        .flat_map(|record| record.attributes)
        .filter(|(key, _)| key != "http.request.duration");
    assert!(longest(texts.map(|(_, text)| text).collect()) <= Some(9));
}

/// A relay that answers with a reset once a connection has been silent for a while, as load
/// balancers and NAT do that have forgotten it.
async fn forgetful_relay(to: &str) -> String {
    let to = to.trim_start_matches("http://").to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::runtime::Handle::current().spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::runtime::Handle::current().spawn(relay(client, to.clone()));
        }
    });
    format!("http://127.0.0.1:{port}")
}

async fn relay(mut client: TcpStream, to: String) {
    const SILENCE: Duration = Duration::from_secs(1);
    let mut server = TcpStream::connect(&to).await.unwrap();
    let (mut upstream, mut downstream) = ([0; 4096], [0; 4096]);
    loop {
        let started = Instant::now();
        let (length, is_up) = tokio::select! {
            length = client.read(&mut upstream) => (length.unwrap_or(0), true),
            length = server.read(&mut downstream) => (length.unwrap_or(0), false),
        };
        if length == 0 || started.elapsed() > SILENCE {
            // The kernel then closes with a reset.
            let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
            return;
        }
        let written = if is_up {
            server.write_all(&upstream[..length]).await
        } else {
            client.write_all(&downstream[..length]).await
        };
        if written.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_of_an_idle_connection_loses_nothing() {
    let collector = Collector::start();
    let endpoint = forgetful_relay(&collector.grpc).await;
    let mut variables = prompt(&endpoint);
    variables.push(("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"));
    variables.retain(|(name, _)| *name != "OTEL_METRIC_EXPORT_INTERVAL");
    variables.push(("OTEL_METRIC_EXPORT_INTERVAL", "2500"));
    let mut service = Db::sqlite().serve_in(&variables).await;
    for _ in 0..4 {
        let (trace, _) = service.traced(DOCUMENT, json!({})).await;
        collector.trace(&trace);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    service.signal("-TERM");
    assert!(service.wait().success());
    let log = service.log();
    let stopped = log.iter().find(|line| line["event"] == "telemetry.stopped").unwrap();
    assert_eq!(stopped["telemetry.export.lost"], "0 spans, 0 log records, 0 data points");
    assert!(!log.iter().any(|line| line["event"] == "telemetry.export_failed"), "{log:#?}");
}

/// Something that accepts connections at a port and never answers.
fn hanging_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept() {
            connections.push(connection);
        }
    });
    format!("http://127.0.0.1:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_without_a_panic_while_the_collector_hangs() {
    for protocol in ["http/protobuf", "grpc"] {
        let endpoint = hanging_endpoint();
        let mut variables = prompt(&endpoint);
        variables.push(("OTEL_EXPORTER_OTLP_PROTOCOL", protocol));
        variables.push(("COLOPHON_FLUSH_TIMEOUT", "1s"));
        let mut service = Db::sqlite().serve_in(&variables).await;
        service.data(DOCUMENT, json!({})).await;
        // Metrics are on their way.
        tokio::time::sleep(Duration::from_millis(600)).await;
        service.signal("-TERM");
        assert!(service.wait().success());
        thread::sleep(Duration::from_millis(100));
        let log = service.log();
        assert!(log.iter().any(|line| line["event"] == "telemetry.stopped"), "{log:#?}");
        assert!(!log.iter().any(|line| line["event"] == "panic"), "{protocol}: {log:#?}");
    }
}

/// Without an endpoint one line says that nothing is exported, and everything else works.
#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_is_no_trouble() {
    let mut service = Db::sqlite().serve().await;
    let (trace, _) = service.traced(DOCUMENT, json!({})).await;
    assert_eq!(trace.len(), 32, "log lines can be found by it all the same");
    assert!(service.scrape().await.contains("graphql_server_request_duration_seconds_count"));
    let said = |line: &Value| line["event"] == "telemetry.not_exported";
    service.wait_for_log("that nothing is exported", said);
    assert_eq!(service.log().iter().filter(|line| said(line)).count(), 1);
}

/// Traces to one collector, metrics to another, log records nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_can_go_its_own_way() {
    let (first, second) = (Collector::start(), Collector::start());
    let traces = format!("{}/v1/traces", second.http);
    let mut variables = prompt(&first.http);
    variables.push(("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &traces));
    variables.push(("OTEL_LOGS_EXPORTER", "none"));
    let service = Db::sqlite().serve_in(&variables).await;
    let (trace, _) = service.traced(DOCUMENT, json!({})).await;
    second.trace(&trace);
    first.wait("metrics", |collector| !collector.metrics().is_empty());
    assert!(first.spans().is_empty() && first.records().is_empty());
    assert!(second.metrics().is_empty() && second.records().is_empty());
}
