//! Metrics: recorded once, through the facade, and handed to the scrape and to OTLP alike.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_opentelemetry::{OpenTelemetryMetrics, OpenTelemetryRecorder};
use metrics_util::layers::{Fanout, FanoutBuilder};
use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundUpDownCounter, Meter, MeterProvider},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{
        Aggregation, Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality,
        data::{AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics},
        exporter::PushMetricExporter,
    },
};
use opentelemetry_semantic_conventions::attribute::ERROR_TYPE;

use otlp_export::{ExportStats, Report};

use super::{
    scope,
    scrape::{Histograms, Scrape, unit},
    warnings::Warnings,
};
use crate::telemetry::names::{Kind, Metric, POINTS_EXPORTED, catalogue};

/// Makes the process's recorder, of which each series goes to `provider` and, with `resource`, to the
/// scrape.
///
/// # Panics
/// If there is one already.
#[must_use]
pub fn install(
    provider: Option<&SdkMeterProvider>,
    scrape: bool,
    resource: &Resource,
) -> Option<Scrape> {
    let mut others = FanoutBuilder::default();
    let histograms = scrape.then(Arc::<Histograms>::default);
    let scrape = histograms.clone().map(|histograms| {
        let recorder = PrometheusBuilder::new().with_recommended_naming(true).build_recorder();
        let handle = recorder.handle();
        others = std::mem::take(&mut others).add_recorder(recorder);
        Scrape::new(resource, handle, histograms)
    });
    let otlp = provider.map(|provider| Arc::new(Otlp::new(provider.meter_with_scope(scope()))));
    if let Some(otlp) = otlp.clone() {
        others = others.add_recorder(otlp);
    }
    let recorder = Both { others: others.build(), histograms, otlp };
    describe(&recorder);
    metrics::set_global_recorder(recorder).expect("telemetry starts once");
    scrape
}

fn describe(recorder: &impl Recorder) {
    for metric in catalogue() {
        let (name, help) = (KeyName::from_const_str(metric.name), metric.help.into());
        match metric.kind {
            Kind::Counter => recorder.describe_counter(name, unit(metric), help),
            Kind::Sum | Kind::UpDown | Kind::Gauge => {
                recorder.describe_gauge(name, unit(metric), help);
            }
            Kind::Histogram(_) => recorder.describe_histogram(name, unit(metric), help),
        }
    }
}

/// Histograms of libraries, which no catalog declares.
mod foreign {
    use std::{
        collections::HashMap,
        sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    };

    use metrics::Unit;

    use crate::telemetry::{
        intern::intern,
        names::{Kind, Metric},
    };

    /// The buckets that the SDK gives them by OTLP
    /// (opentelemetry.io/docs/specs/otel/metrics/sdk/#explicit-bucket-histogram-aggregation).
    const BOUNDS: &[f64] = &[
        0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0,
        7500.0, 10_000.0,
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
}

/// The scrape and OTLP.
struct Both {
    /// What keeps counters and gauges.
    others: Fanout,
    histograms: Option<Arc<Histograms>>,
    otlp: Option<Arc<Otlp>>,
}

impl Recorder for Both {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.others.describe_counter(name, unit, description);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.others.describe_gauge(name, unit, description);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        foreign::describe(name.as_str(), unit, &description);
        if let Some(otlp) = &self.otlp {
            otlp.describe_histogram(name, unit, description);
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.others.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.others.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let otlp = self.otlp.as_ref();
        let otlp = otlp.map_or_else(Histogram::noop, |otlp| otlp.register_histogram(key, metadata));
        let Some(scrape) = &self.histograms else { return otlp };
        let metric = find(key.name()).unwrap_or_else(|| foreign::histogram(key.name()));
        match metric.kind {
            Kind::Histogram(bounds) => scrape.register(key, metric, bounds, otlp),
            _ => otlp,
        }
    }
}

/// The OTLP side: units and buckets as the catalogue has them, which the facade cannot tell.
pub fn provider<E: PushMetricExporter>(
    exporter: E,
    interval: Duration,
    resource: Resource,
) -> SdkMeterProvider {
    let reader = PeriodicReader::builder(exporter).with_interval(interval).build();
    SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(reader)
        .with_view(as_catalogued)
        .build()
}

fn as_catalogued(instrument: &Instrument) -> Option<Stream> {
    let metric = find(instrument.name())?;
    let mut stream = Stream::builder().with_unit(metric.unit).with_description(metric.help);
    if let Kind::Histogram(bounds) = metric.kind {
        stream = stream.with_aggregation(Aggregation::ExplicitBucketHistogram {
            boundaries: bounds.to_vec(),
            record_min_max: true,
        });
    }
    stream.build().ok()
}

fn find(name: &str) -> Option<&'static Metric> {
    catalogue().find(|metric| metric.name == name)
}

/// In front of the bridge to OTLP: the facade knows only gauges where OTLP has up-down counters
/// and sums.
struct Otlp {
    meter: Meter,
    bridge: OpenTelemetryRecorder,
    /// The sums, by name and labels: two of one series would each add what is set.
    sums: Mutex<HashMap<Key, Gauge>>,
}

impl Otlp {
    fn new(meter: Meter) -> Self {
        let bridge = OpenTelemetryRecorder::new(OpenTelemetryMetrics::new(meter.clone()));
        Self { meter, bridge, sums: Mutex::default() }
    }

    fn sum(&self, key: &Key, is_monotonic: bool) -> Gauge {
        let attributes: Vec<KeyValue> = key.labels().map(attribute).collect();
        let name = key.name().to_owned();
        if is_monotonic {
            let sum = self.meter.f64_counter(name).build();
            Gauge::from_arc(Arc::new(Total::new(sum.bind(&attributes))))
        } else {
            let counter = self.meter.f64_up_down_counter(name).build();
            Gauge::from_arc(Arc::new(Total::new(counter.bind(&attributes))))
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
        self.bridge.register_histogram(key, metadata)
    }
}

fn attribute(label: &Label) -> KeyValue {
    let (key, value) = label.clone().into_parts();
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
struct Total<T> {
    /// The last total that was set, as bits.
    last: AtomicU64,
    instrument: T,
}

impl<T: Add> Total<T> {
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

impl<T: Add> GaugeFn for Total<T> {
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

/// An exporter that counts what it sends.
pub struct Counted<E> {
    exporter: E,
    outcome: Arc<ExportStats>,
    warnings: Arc<Warnings>,
}

impl<E> Counted<E> {
    /// Counts what `exporter` sends.
    pub fn new(exporter: E, outcome: Arc<ExportStats>, warnings: Arc<Warnings>) -> Self {
        Self { exporter, outcome, warnings }
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Counted<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let count = points(metrics);
        self.outcome.count_produced(count);
        let result = self.exporter.export(metrics).await;
        // The recorder is there by now: this is its reader. A series is looked up once a minute.
        match &result {
            Ok(()) => {
                self.outcome.count_exported(count);
                POINTS_EXPORTED.counter(Vec::new()).increment(count);
                self.warnings.recovered();
            }
            Err(error) => {
                let failed = Label::new(ERROR_TYPE, "export_failed");
                POINTS_EXPORTED.counter(vec![failed]).increment(count);
                self.warnings.failed(error);
            }
        }
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

fn points(metrics: &ResourceMetrics) -> u64 {
    let all = metrics.scope_metrics().flat_map(ScopeMetrics::metrics);
    let count = all.map(|metric| match metric.data() {
        AggregatedMetrics::F64(data) => points_of(data),
        AggregatedMetrics::U64(data) => points_of(data),
        AggregatedMetrics::I64(data) => points_of(data),
    });
    count.sum::<usize>() as u64
}

fn points_of<T>(data: &MetricData<T>) -> usize {
    match data {
        MetricData::Gauge(gauge) => gauge.data_points().count(),
        MetricData::Sum(sum) => sum.data_points().count(),
        MetricData::Histogram(histogram) => histogram.data_points().count(),
        MetricData::ExponentialHistogram(histogram) => histogram.data_points().count(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use metrics::Level;
    use opentelemetry_sdk::metrics::data::SumDataPoint;

    use super::*;
    use crate::telemetry::names::WEBSOCKET_ACTIVE;

    /// Keeps the values of the sums that are exported.
    #[derive(Clone, Default)]
    struct Keep(Arc<Mutex<Vec<f64>>>);

    impl PushMetricExporter for Keep {
        async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
            for metric in metrics.scope_metrics().flat_map(ScopeMetrics::metrics) {
                if let AggregatedMetrics::F64(MetricData::Sum(sum)) = metric.data() {
                    let values = sum.data_points().map(SumDataPoint::value);
                    self.0.lock().unwrap().extend(values);
                }
            }
            Ok(())
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }

        fn temporality(&self) -> Temporality {
            Temporality::Cumulative
        }
    }

    #[test]
    fn histograms_of_libraries_are_scraped() {
        let histograms = Arc::<Histograms>::default();
        let scraped = Some(histograms.clone());
        let both =
            Both { others: FanoutBuilder::default().build(), histograms: scraped, otlp: None };
        both.describe_histogram(
            "library.time".into(),
            Some(Unit::Milliseconds),
            "Its time.".into(),
        );
        let metadata = Metadata::new(module_path!(), Level::INFO, None);
        for name in ["library.time", "library.size"] {
            both.register_histogram(&Key::from_name(name), &metadata).record(7.0);
        }
        let mut text = String::new();
        histograms.render(&mut text);
        assert!(text.contains("Its time."), "{text}");
        for name in ["library_time", "library_size"] {
            for line in ["_bucket{le=\"5\"} 0", "_bucket{le=\"10\"} 1", "_count 1", "_sum 7"] {
                assert!(
                    text.lines().any(|it| it.starts_with(name) && it.ends_with(line)),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_series_that_is_registered_twice_counts_once() {
        let keep = Keep::default();
        let resource = Resource::builder_empty().build();
        let provider = provider(keep.clone(), Duration::from_hours(1), resource);
        let otlp = Otlp::new(provider.meter("test"));
        let metadata = Metadata::new(module_path!(), Level::INFO, None);
        let key = Key::from_name(WEBSOCKET_ACTIVE.name);
        for _ in 0..2 {
            otlp.register_gauge(&key, &metadata).set(5.0);
        }
        provider.force_flush().unwrap();
        assert_eq!(*keep.0.lock().unwrap(), [5.0]);
    }
}
