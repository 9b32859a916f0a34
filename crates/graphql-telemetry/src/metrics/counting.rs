//! Counts the data points that are exported, and lost.

use std::{sync::Arc, time::Duration};

use metrics::Label;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        Temporality,
        data::{AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics},
        exporter::PushMetricExporter,
    },
};
use opentelemetry_semantic_conventions::attribute::ERROR_TYPE;
use otlp_export::{ExportStats, Report};

use crate::{catalog::POINTS_EXPORTED, warnings::Warnings};

/// An exporter that counts what it sends.
pub struct CountingExporter<E> {
    exporter: E,
    outcome: Arc<ExportStats>,
    warnings: Arc<Warnings>,
}

impl<E> CountingExporter<E> {
    /// Counts what `exporter` sends.
    pub fn new(exporter: E, outcome: Arc<ExportStats>, warnings: Arc<Warnings>) -> Self {
        Self { exporter, outcome, warnings }
    }
}

impl<E: PushMetricExporter> PushMetricExporter for CountingExporter<E> {
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
                self.outcome.count_lost(count);
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
