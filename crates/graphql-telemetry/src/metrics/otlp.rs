//! The way to OTLP: a bridge, and in front of it what the facade lacks.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Label, Metadata, Recorder,
    SharedString, Unit,
};
use metrics_opentelemetry::{OpenTelemetryMetrics, OpenTelemetryRecorder};
use opentelemetry::{
    KeyValue, Value,
    metrics::{BoundCounter, BoundHistogram, BoundUpDownCounter, Meter},
};
use opentelemetry_semantic_conventions::attribute::HTTP_RESPONSE_STATUS_CODE;

use crate::catalog::{Kind, find};

/// In front of the bridge to OTLP: the facade knows only gauges where OTLP has up-down counters
/// and sums, and only texts where attributes may be numbers.
pub struct Otlp {
    meter: Meter,
    bridge: OpenTelemetryRecorder,
    /// The sums, by name and labels: two of one series would each add what is set.
    sums: Mutex<HashMap<Key, Gauge>>,
}

impl Otlp {
    /// Records into `meter`.
    pub fn new(meter: Meter) -> Self {
        let bridge = OpenTelemetryRecorder::new(OpenTelemetryMetrics::new(meter.clone()));
        Self { meter, bridge, sums: Mutex::default() }
    }

    fn sum(&self, key: &Key, is_monotonic: bool) -> Gauge {
        let attributes: Vec<KeyValue> = key.labels().map(attribute).collect();
        let name = key.name().to_owned();
        if is_monotonic {
            let sum = self.meter.f64_counter(name).build();
            Gauge::from_arc(Arc::new(DeltaGauge::new(sum.bind(&attributes))))
        } else {
            let counter = self.meter.f64_up_down_counter(name).build();
            Gauge::from_arc(Arc::new(DeltaGauge::new(counter.bind(&attributes))))
        }
    }
}

impl Recorder for Otlp {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.bridge.describe_counter(name, unit, help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.bridge.describe_gauge(name, unit, help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.bridge.describe_histogram(name, unit, help);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.bridge.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let is_monotonic = match find(key.name()).map(|metric| metric.kind) {
            Some(Kind::UpDown) => false,
            Some(Kind::Sum) => true,
            _ => return self.bridge.register_gauge(key, metadata),
        };
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.entry(key.clone()).or_insert_with(|| self.sum(key, is_monotonic)).clone()
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        if !key.labels().any(is_number) {
            return self.bridge.register_histogram(key, metadata);
        }
        let attributes: Vec<KeyValue> = key.labels().map(attribute).collect();
        let histogram = self.meter.f64_histogram(key.name().to_owned()).build();
        Histogram::from_arc(Arc::new(Bound(histogram.bind(&attributes))))
    }
}

/// Whether an attribute is a number by the conventions. Labels are texts, and the bridge leaves them so.
fn is_number(label: &Label) -> bool {
    label.key() == HTTP_RESPONSE_STATUS_CODE
}

/// A histogram of one series.
struct Bound(BoundHistogram<f64>);

impl HistogramFn for Bound {
    fn record(&self, value: f64) {
        self.0.record(value);
    }
}

fn attribute(label: &Label) -> KeyValue {
    let number =
        Some(label).filter(|label| is_number(label)).and_then(|it| it.value().parse().ok());
    let (key, value) = label.clone().into_parts();
    if let Some(number) = number {
        return KeyValue::new(std::borrow::Cow::from(key), Value::I64(number));
    }
    KeyValue::new(std::borrow::Cow::from(key), std::borrow::Cow::from(value))
}

/// An instrument that takes differences.
trait Add: Send + Sync {
    fn add(&self, difference: f64);
}

impl Add for BoundUpDownCounter<f64> {
    fn add(&self, difference: f64) {
        Self::add(self, difference);
    }
}

impl Add for BoundCounter<f64> {
    fn add(&self, difference: f64) {
        // The SDK drops what is negative, and so would a total that went back.
        Self::add(self, difference);
    }
}

/// A gauge in terms of differences.
struct DeltaGauge<T> {
    /// The last total that was set, as bits.
    last: AtomicU64,
    instrument: T,
}

impl<T: Add> DeltaGauge<T> {
    fn new(instrument: T) -> Self {
        // The series is there from the beginning.
        instrument.add(0.0);
        Self { last: AtomicU64::new(0f64.to_bits()), instrument }
    }

    fn change(&self, to: impl Fn(f64) -> f64) {
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let (old, new) = (f64::from_bits(last), to(f64::from_bits(last)));
            match self.last.compare_exchange_weak(
                last,
                new.to_bits(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return self.instrument.add(new - old),
                Err(other) => last = other,
            }
        }
    }
}

impl<T: Add> GaugeFn for DeltaGauge<T> {
    fn increment(&self, value: f64) {
        self.change(|total| total + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|total| total - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metrics::Level;
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::{
        Resource,
        metrics::{
            InMemoryMetricExporter,
            data::{AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics, SumDataPoint},
        },
    };

    use super::*;
    use crate::{catalog::WEBSOCKET_ACTIVE, metrics::provider};

    #[test]
    fn counts_a_series_once_that_is_registered_twice() {
        let exporter = InMemoryMetricExporter::default();
        let resource = Resource::builder_empty().build();
        let provider = provider(exporter.clone(), Duration::from_hours(1), resource);
        let otlp = Otlp::new(provider.meter("test"));
        let metadata = Metadata::new(module_path!(), Level::INFO, None);
        let key = Key::from_name(WEBSOCKET_ACTIVE.name);
        for _ in 0..2 {
            otlp.register_gauge(&key, &metadata).set(5.0);
        }
        provider.force_flush().unwrap();
        let exports = exporter.get_finished_metrics().unwrap();
        let metrics = exports.iter().flat_map(ResourceMetrics::scope_metrics);
        let values: Vec<f64> = metrics
            .flat_map(ScopeMetrics::metrics)
            .flat_map(|metric| match metric.data() {
                AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                    sum.data_points().map(SumDataPoint::value).collect()
                }
                _ => Vec::new(),
            })
            .collect();
        assert_eq!(values, [5.0]);
    }
}
