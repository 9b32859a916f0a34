//! Variables of the specification: wrong, unsupported and empty ones, and those of one signal.

use serde_json::json;
use testing::{
    Db,
    collector::{Collector, Options, prompt},
};

use super::{DOCUMENT, everything_arrives};

#[tokio::test(flavor = "multi_thread")]
async fn warns_of_unusable_variables_at_start() {
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

/// Traces to one collector, metrics to another, log records nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn exports_each_signal_to_its_own_endpoint() {
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
