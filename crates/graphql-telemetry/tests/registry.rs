//! The registries of semantic conventions say what the code emits: metrics, attributes, events.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use graphql_telemetry::{
    catalog::{self, Kind},
    graphql::EndReason,
};
use testing::registry::{AttributeType, Registry, logged_events};

/// The registries of this crate and of the one below it.
fn registries() -> [Registry; 2] {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of crates");
    ["runtime-insight", "graphql-telemetry"]
        .map(|name| Registry::read(&crates.join(name).join("registry")))
}

const fn instrument(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter | Kind::Sum => "counter",
        Kind::UpDown => "updowncounter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

#[test]
fn metrics_are_those_of_the_catalog() {
    let registries = registries();
    let imported: BTreeSet<_> =
        registries.iter().flat_map(|it| &it.imports.metrics).map(String::as_str).collect();
    let mut defined: BTreeMap<_, _> = registries.iter().flat_map(Registry::metrics).collect();
    for metric in catalog::all() {
        if imported.contains(metric.name) {
            continue;
        }
        let expected =
            (instrument(metric.kind), metric.unit, metric.help, metric.attributes.to_vec());
        assert_eq!(defined.remove(metric.name), Some(expected), "{}", metric.name);
    }
    assert!(defined.is_empty(), "the catalog lacks {defined:#?}");
    let known: BTreeSet<_> = catalog::all().map(|metric| metric.name).collect();
    let unknown: Vec<_> = imported.difference(&known).collect();
    assert!(unknown.is_empty(), "the catalog lacks {unknown:?}");
}

#[test]
fn attributes_are_those_of_the_code() {
    let source = include_str!("../src/attribute.rs");
    let registries = registries();
    let defined: BTreeSet<_> =
        registries.iter().flat_map(|it| &it.attributes).map(|it| it.key.as_str()).collect();
    for name in source.split('"').skip(1).step_by(2) {
        assert!(defined.contains(name), "the registry lacks {name}");
    }
}

#[test]
fn reasons_of_ended_subscriptions_are_those_of_the_code() {
    let registries = registries();
    let mut all = registries.iter().flat_map(|it| &it.attributes);
    let reason = all.find(|it| it.key == "graphql.subscription.end_reason").expect("it is defined");
    let AttributeType::Enum { members } = &reason.kind else { panic!("{reason:?}") };
    let defined: Vec<_> = members.iter().map(|member| member.value.as_str()).collect();
    assert_eq!(defined, EndReason::ALL.map(EndReason::as_str));
}

#[test]
fn events_are_those_of_the_code() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of crates");
    let [runtime, graphql] = registries();
    assert_eq!(logged_events(&crates.join("runtime-insight/src")), runtime.events());
    let mut events = logged_events(&crates.join("graphql-telemetry/src"));
    // Those of a span event and of an event of the core conventions.
    assert!(events.remove("exception"));
    events.remove("tokio.slow_poll");
    events.extend(logged_events(&crates.join("otlp-export/src")));
    assert_eq!(events, graphql.events());
}
