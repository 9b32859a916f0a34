//! The way to an Elasticsearch of one's own: what arrives there, and whether it has all that Kibana's
//! dashboards ask for.

use std::{collections::BTreeMap, fs, time::Instant};

use serde_json::Value;
use testing::{
    Db, PATIENCE,
    collector::{Collector, Options, prompt},
    elasticsearch::Elasticsearch,
    repository,
};

use crate::load;

/// Types of fields by name, by the pattern of indices.
type Fields = BTreeMap<String, BTreeMap<String, String>>;

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_kibana_arrives() {
    let node = Elasticsearch::start();
    let collector = Collector::start_with(&Options {
        layers: &["elasticsearch"],
        variables: &[
            ("ELASTICSEARCH_ENDPOINT", &node.url),
            ("COLLECTOR_SAMPLING_PERCENTAGE", "100"),
        ],
        ..Options::default()
    });
    let db = Db::postgres().await;
    let mut variables = prompt(&collector.http);
    variables.push(("COLOPHON_LAB", "true"));
    variables.extend(load::VARIABLES);
    let service = db.serve_in(&variables).await;
    load::prepare(&db, &service).await;

    let text = fs::read_to_string(repository().join("collector/kibana/fields.json")).unwrap();
    let wanted: Fields = serde_json::from_str(&text).unwrap();
    assert!(wanted.len() > 2, "{wanted:?}");
    let started = Instant::now();
    loop {
        load::round(&service).await;
        let missing = missing(&node, &wanted).await;
        if missing.is_empty() {
            break;
        }
        assert!(started.elapsed() < 2 * PATIENCE, "{missing:#?}\n{}", collector.log());
    }
    let log = collector.log();
    assert!(!log.contains("failed to index"), "{log}");

    let trace = service.traced("{ books { nodes { title } } }", serde_json::json!({})).await.0;
    one_trace_id_finds_it_all(&node, &trace).await;
}

/// What the node does not have, or has as something else.
async fn missing(node: &Elasticsearch, wanted: &Fields) -> Vec<String> {
    let mut missing = Vec::new();
    for (indices, fields) in wanted {
        let answer = node.get(&format!("{indices}/_field_caps?fields=*&filters=-metadata")).await;
        for (field, wanted) in fields {
            let found = type_of(&answer["fields"][field]);
            if found.as_ref() != Some(wanted) {
                missing.push(format!("{indices} {field}: {found:?} instead of {wanted}"));
            }
        }
    }
    missing
}

/// The type of a field; of one that this node lacks, the one that is meant.
fn type_of(capabilities: &Value) -> Option<String> {
    let (name, details) = capabilities.as_object()?.iter().next()?;
    let meant = details["meta"]["instead_of"][0].as_str();
    Some(meant.unwrap_or(name).to_owned())
}

/// Spans and log lines of an operation have its trace id in the same field.
async fn one_trace_id_finds_it_all(node: &Elasticsearch, trace: &str) {
    let started = Instant::now();
    loop {
        let mut counts = Vec::new();
        for indices in ["traces-*.otel-*", "logs-*.otel-*"] {
            let found = node.get(&format!("{indices}/_search?q=trace_id:{trace}")).await;
            counts.push(found["hits"]["total"]["value"].as_u64().unwrap_or_default());
        }
        if counts[0] >= 5 && counts[1] >= 1 {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{trace}: {counts:?}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
