//! The registry of semantic conventions says what the service emits beyond its crates.

use std::collections::BTreeSet;

use colophon::catalog::metrics::METRICS;
use graphql_telemetry::catalog::Kind;
use testing::registry::{Registry, logged_events};

#[test]
fn the_registry_has_the_metrics_and_events_of_the_service() {
    let root = testing::repository();
    let registry = Registry::read(&root.join("registry"));
    let defined = registry.metrics();
    let metrics: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(defined.keys().copied().collect::<BTreeSet<_>>(), metrics);
    for metric in METRICS {
        assert_eq!(metric.kind, Kind::Counter);
        assert_eq!(defined[metric.name], ("counter", metric.unit, metric.help, Vec::new()));
    }
    let mut events = logged_events(&root.join("src"));
    // The admin listener's is the crate's, too.
    events.remove("admin.failed");
    assert_eq!(events, registry.events());
}
