//! Every metric of the catalog is seen, with the kind and the attributes that it declares.

#![cfg(feature = "metrics")]

use std::collections::{BTreeMap, BTreeSet};

use metrics_util::{MetricKind, debugging::DebuggingRecorder};
use runtime_insight::{
    Builder,
    catalog::Kind,
    metrics::{CATALOG, Sampler},
};

#[test]
fn records_what_the_catalog_declares() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    let runtime = Builder::new().build().unwrap();
    runtime.block_on(async {});
    metrics::with_local_recorder(&recorder, || Sampler::new(runtime.handle()).sample());
    let mut seen = BTreeMap::<String, BTreeSet<String>>::new();
    for (key, _, _, _) in snapshots.snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        let metric = CATALOG.iter().find(|metric| metric.name == key.name());
        let metric = metric.unwrap_or_else(|| panic!("{} is not in the catalog", key.name()));
        let expected = match metric.kind {
            Kind::Counter => MetricKind::Counter,
            Kind::Histogram(_) => MetricKind::Histogram,
            Kind::Gauge | Kind::Sum | Kind::UpDown => MetricKind::Gauge,
        };
        assert_eq!(kind, expected, "{}", metric.name);
        let labels = seen.entry(metric.name.to_owned()).or_default();
        labels.extend(key.labels().map(|label| label.key().to_owned()));
    }
    for (name, labels) in &seen {
        let metric = CATALOG.iter().find(|metric| metric.name == name).unwrap();
        let declared = metric.attributes.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(*labels, declared, "{name}");
    }
    #[cfg(tokio_unstable)]
    assert_eq!(seen.len(), CATALOG.len(), "{seen:?}");
    for always in ["tokio.workers", "tokio.tasks.alive", "tokio.worker.busy.time"] {
        assert!(seen.contains_key(always), "{always} is not recorded");
    }
}
