//! Export by gRPC and by HTTP, with TLS, to the console, and to nowhere.

use std::time::Duration;

use serde_json::{Value, json};
use testing::{
    Db,
    collector::{Collector, Options, prompt},
};

use super::{DOCUMENT, everything_arrives};

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

/// The collector shows a certificate of an authority of its own and wants a header; both are given
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

/// Without an endpoint one line says that nothing is exported, and everything else works.
#[tokio::test(flavor = "multi_thread")]
async fn runs_without_an_endpoint() {
    let mut service = Db::sqlite().serve().await;
    let (trace, _) = service.traced(DOCUMENT, json!({})).await;
    assert_eq!(trace.len(), 32, "log lines can be found by it all the same");
    assert!(service.scrape().await.contains("graphql_server_request_duration_seconds_count"));
    let said = |line: &Value| line["event"] == "telemetry.not_exported";
    service.wait_for_log("that nothing is exported", said);
    assert_eq!(service.log().iter().filter(|line| said(line)).count(), 1);
}
