//! Histograms of libraries, which no catalog declares.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use metrics::Unit;

use crate::{
    catalog::{Kind, Metric},
    text::intern,
};

/// The buckets that the SDK gives them by OTLP
/// (opentelemetry.io/docs/specs/otel/metrics/sdk/#explicit-bucket-histogram-aggregation).
const BOUNDS: &[f64] = &[
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
    10_000.0,
];

type Metrics = HashMap<&'static str, &'static Metric>;

fn known() -> MutexGuard<'static, Metrics> {
    static KNOWN: LazyLock<Mutex<Metrics>> = LazyLock::new(Mutex::default);
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new(name: &str, unit: &str, help: &str) -> &'static Metric {
    let (name, unit, help) = (intern(name), intern(unit), intern(help));
    let kind = Kind::Histogram(BOUNDS);
    Box::leak(Box::new(Metric { name, kind, unit, help, attributes: &[] }))
}

/// What a library says of its histogram, before it records.
pub fn describe(name: &str, unit: Option<Unit>, help: &str) {
    let unit = unit.map_or("", |unit| unit.as_canonical_label());
    let metric = new(name, unit, help);
    known().insert(metric.name, metric);
}

/// The histogram with this name.
pub fn histogram(name: &str) -> &'static Metric {
    let mut known = known();
    let metric = known.get(name).copied();
    metric.unwrap_or_else(|| {
        let metric = new(name, "", "");
        known.insert(metric.name, metric);
        metric
    })
}
