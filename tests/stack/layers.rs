//! Every layer of the collector's configuration, by itself and with the others.

use std::process::Command;

use testing::{
    collector::{Collector, Options, configuration, program},
    stderr,
};

/// All that can be put together of the layers, in both orders.
fn combinations() -> Vec<Vec<&'static str>> {
    let layers = ["grafana", "elastic-cloud", "elasticsearch"];
    let subset = |bits: u32| {
        let chosen = layers.iter().enumerate().filter(move |(i, _)| bits & (1 << i) != 0);
        chosen.map(|(_, layer)| *layer).collect::<Vec<_>>()
    };
    let forth: Vec<_> = (0..8).map(subset).collect();
    let back = forth.iter().filter(|layers| layers.len() > 1);
    let back: Vec<_> = back.map(|layers| layers.iter().rev().copied().collect()).collect();
    [forth, back].concat()
}

/// Backends that nobody is at: layers do without them for a start.
const NOWHERE: &[(&str, &str)] = &[
    ("ELASTIC_OTLP_ENDPOINT", "http://127.0.0.1:1"),
    ("ELASTIC_TOKEN", "none"),
    ("ELASTICSEARCH_ENDPOINT", "http://127.0.0.1:1"),
    ("TEMPO_OTLP_ENDPOINT", "127.0.0.1:1"),
    ("LOKI_OTLP_ENDPOINT", "http://127.0.0.1:1"),
];

#[test]
fn all_combinations_are_valid() {
    for layers in combinations() {
        let mut command = Command::new(program());
        command.arg("validate").args(configuration(&layers)).envs(NOWHERE.iter().copied());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{layers:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("deprecated"), "{layers:?}: {}", stderr(&output));
    }
}

#[test]
fn rejects_wrong_settings() {
    let mut command = Command::new(program());
    command.arg("validate").args(configuration(&["grafana"]));
    command.args(["--config", "yaml:exporters::otlp_grpc/tempo::no_such_setting: true"]);
    let output = command.output().unwrap();
    assert!(!output.status.success());
}

#[test]
fn runs_all_combinations() {
    for layers in combinations() {
        let collector = Collector::start_with(&Options {
            layers: &layers,
            variables: NOWHERE,
            ..Options::default()
        });
        let log = collector.log();
        assert!(!log.contains("\terror\t"), "{layers:?}: {log}");
    }
}

/// A layer that is to reach Elastic without an address or token says which variable is missing.
#[test]
fn explains_a_missing_address() {
    let mut command = Command::new(program());
    command.arg("validate").args(configuration(&["elastic-cloud"]));
    command.env_remove("ELASTIC_OTLP_ENDPOINT");
    let output = command.output().unwrap();
    assert!(!output.status.success());
    assert!(stderr(&output).contains("endpoint"), "{}", stderr(&output));
}
