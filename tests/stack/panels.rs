//! Every expression of every dashboard and rule, asked of a real Prometheus.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use testing::{
    Db, PATIENCE,
    prometheus::{Prometheus, Sample},
    repository,
    stack::Stack,
};

use crate::load;

/// An expression of a panel.
struct Target {
    place: String,
    expression: String,
    legend: String,
    exemplars: bool,
}

/// Series that are there only after something has failed that does not fail here, of which rules and
/// panels know that they may be missing.
const AFTER_A_FAILURE: &[&str] = &[
    "ALERTS",
    "otelcol_exporter_enqueue_failed_log_records",
    "otelcol_exporter_enqueue_failed_metric_points",
    "otelcol_exporter_enqueue_failed_spans",
    "otelcol_exporter_send_failed_log_records",
    "otelcol_exporter_send_failed_metric_points",
    "otelcol_exporter_send_failed_spans",
    "otelcol_processor_tail_sampling_early_releases_from_cache_decision",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_has_data() {
    let db = Db::postgres().await;
    let stack = Stack::start(&db, load::VARIABLES).await;
    load::prepare(&db, &stack.service).await;
    let load = async {
        loop {
            load::round(&stack.service).await;
        }
    };
    let checks = async {
        let targets = targets();
        rules_have_data(&stack.prometheus).await;
        panels_have_data(&stack.prometheus, &targets).await;
        nothing_is_asked_for_in_vain(&stack.prometheus, &targets).await;
        everything_is_shown(&stack.service.scrape().await, &targets);
        exemplars_lead_to_traces(&stack, &targets).await;
    };
    tokio::select! {
        never = load => never,
        () = checks => {}
    }
}

async fn panels_have_data(prometheus: &Prometheus, targets: &[Target]) {
    let mut troubles = Vec::new();
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for target in targets {
        let (found, trouble) = check(prometheus, target).await;
        let dashboard = target.place.split(' ').next().unwrap();
        let (queries, series) = counts.entry(dashboard).or_default();
        *queries += 1;
        *series += found;
        troubles.extend(trouble.map(|trouble| format!("{}: {trouble}", target.place)));
    }
    for (dashboard, (queries, series)) in &counts {
        println!("{dashboard}: {queries} queries, {series} series");
    }
    assert!(troubles.is_empty(), "{}", troubles.join("\n"));
}

/// Asks for a target until it has data; tells how many series it has, and what is wrong with them.
async fn check(prometheus: &Prometheus, target: &Target) -> (usize, Option<String>) {
    let started = Instant::now();
    loop {
        let samples = prometheus.query(&target.expression).await;
        let trouble = trouble(target, &samples);
        if trouble.is_none() || started.elapsed() > Duration::from_secs(5) {
            return (samples.len(), trouble);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn trouble(target: &Target, samples: &[Sample]) -> Option<String> {
    if samples.iter().all(|sample| sample.value.is_nan()) {
        return Some(format!("no data for {}", target.expression));
    }
    let wanted: Vec<_> = target
        .legend
        .split("{{")
        .skip(1)
        .map(|part| part.split("}}").next().unwrap().trim())
        .collect();
    let missing =
        wanted.into_iter().find(|label| !samples.iter().any(|s| s.labels.contains_key(*label)));
    missing.map(|label| format!("no series of {} has the label {label}", target.expression))
}

/// The expressions of all dashboards, with Grafana's variables replaced.
fn targets() -> Vec<Target> {
    let folder = repository().join("collector/grafana/dashboards");
    let mut targets = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        let uid = dashboard["uid"].as_str().unwrap();
        collect(uid, &dashboard["panels"], &mut targets);
    }
    targets
}

fn collect(uid: &str, panels: &Value, targets: &mut Vec<Target>) {
    for panel in panels.as_array().into_iter().flatten() {
        collect(uid, &panel["panels"], targets);
        for target in panel["targets"].as_array().into_iter().flatten() {
            let Some(expression) = target["expr"].as_str() else { continue };
            if panel["datasource"]["type"] == "loki" || target["datasource"]["type"] == "loki" {
                continue;
            }
            targets.push(Target {
                place: format!("{uid} {} {}", panel["title"], target["refId"]),
                expression: replaced(expression),
                legend: target["legendFormat"].as_str().unwrap_or_default().to_owned(),
                exemplars: target["exemplar"] == true,
            });
        }
    }
}

fn replaced(expression: &str) -> String {
    let mut text = expression.to_owned();
    for (variable, value) in [
        ("__rate_interval", "30s"),
        ("__interval", "10s"),
        ("__range", "1m"),
        ("job", "shelf"),
        ("instance", ".*"),
        ("root_field", ".*"),
    ] {
        text = text
            .replace(&format!("${{{variable}}}"), value)
            .replace(&format!("${variable}"), value);
    }
    assert!(!text.contains('$'), "{expression} has a variable that the test does not know");
    text
}

/// No rule is in error, and what is recorded has series.
async fn rules_have_data(prometheus: &Prometheus) {
    let started = Instant::now();
    loop {
        let mut missing = Vec::new();
        for rule in prometheus.rules().await {
            let name = rule["name"].as_str().unwrap().to_owned();
            assert_ne!(rule["health"], "err", "{rule:#}");
            let is_recording = rule["type"] == "recording";
            if rule["health"] != "ok" || is_recording && prometheus.query(&name).await.is_empty() {
                missing.push(name);
            }
        }
        if missing.is_empty() {
            return;
        }
        // Some are sums of what others have recorded each minute.
        assert!(started.elapsed() < 4 * PATIENCE, "rules without data: {missing:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Every metric that a panel or rule names is there.
async fn nothing_is_asked_for_in_vain(prometheus: &Prometheus, targets: &[Target]) {
    let known = prometheus.metrics().await;
    let rules = prometheus.rules().await;
    let of_rules = rules.iter().map(|rule| rule["query"].as_str().unwrap());
    let expressions = targets.iter().map(|target| target.expression.as_str()).chain(of_rules);
    let unknown: BTreeSet<_> = expressions
        .flat_map(selected)
        .filter(|name| !known.contains(name) && !AFTER_A_FAILURE.contains(&name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "there are no such metrics: {unknown:?}");
}

/// The names of the metrics that an expression selects: the words that are neither functions nor
/// keywords, nor within braces, brackets, quotes or a list of labels.
fn selected(expression: &str) -> BTreeSet<String> {
    const KEYWORDS: &[&str] = &["and", "or", "unless", "offset", "bool", "inf", "nan"];
    const LISTS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
    let mut names = BTreeSet::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = |end: char, rest: &'_ str| rest[1..].find(end).map_or(rest.len(), |at| at + 2);
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let length = match first {
            '{' => after('}', rest),
            '[' => after(']', rest),
            '"' => after('"', rest),
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (word, behind) = rest.split_at(length);
        rest = behind.trim_start();
        let is_called = ["(", "by ", "without "].iter().any(|next| rest.starts_with(next));
        if LISTS.contains(&word) {
            if is_called {
                rest = rest[after(')', rest)..].trim_start();
            }
        } else if is_word(first) && !first.is_numeric() && !is_called && !KEYWORDS.contains(&word) {
            names.insert(word.to_owned());
        }
    }
    names
}

#[test]
fn names_are_found_in_expressions() {
    let names = |expression| selected(expression).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(
        names("sum by (le, x) (rate(a_bucket{b=\"c\"}[5m] offset 1h)) / on (x) d:e > 0.5"),
        "a_bucket d:e"
    );
    assert_eq!(
        names("max without (x) (a) and b unless on () vector(1) or {__name__=\"c\"}"),
        "a b"
    );
    // The label's value has a brace in it.
    assert_eq!(names("label_replace(a, \"b\", \"}\", \"c\", \"\")"), "a");
}

/// Every metric of the service is on a panel, or it is written down why not.
fn everything_is_shown(scrape: &str, targets: &[Target]) {
    let shown: BTreeSet<_> =
        targets.iter().flat_map(|target| selected(&target.expression)).collect();
    let file = repository().join("collector/dashboards/unused-metrics.json");
    let unused: BTreeMap<String, String> =
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let families =
        scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for family in families {
        let is_shown = ["", "_bucket", "_sum", "_count"]
            .iter()
            .any(|suffix| shown.contains(&format!("{family}{suffix}")));
        assert!(
            is_shown != unused.contains_key(family),
            "{family} must be on a panel or else in unused-metrics.json"
        );
    }
}

/// From a point of a graph one gets to a trace that has been kept.
async fn exemplars_lead_to_traces(stack: &Stack, targets: &[Target]) {
    let target = targets.iter().find(|target| target.exemplars).expect("a panel with exemplars");
    let selector = "traces_span_metrics_duration_seconds_bucket{span_kind=\"SPAN_KIND_SERVER\"}";
    assert!(target.expression.contains("traces_span_metrics_duration_seconds_bucket"));
    let traces: BTreeSet<_> = stack
        .prometheus
        .exemplars(selector)
        .await
        .into_iter()
        .map(|mut labels| labels.remove("trace_id").unwrap())
        .collect();
    let backend = stack.backend.as_ref().unwrap();
    backend.wait("a trace of an exemplar has been kept", |c| {
        c.spans().iter().any(|span| traces.contains(&span.trace))
    });
}
