//! Metrics: recorded once, through the facade, and handed to the scrape and to OTLP alike.

mod counting;
mod foreign;
mod otlp;
mod scrape;

use std::{sync::Arc, time::Duration};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_util::layers::{Fanout, FanoutBuilder};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::{
    Resource,
    metrics::{
        Aggregation, Instrument, PeriodicReader, SdkMeterProvider, Stream,
        exporter::PushMetricExporter,
    },
};

pub(crate) use self::counting::CountingExporter;
pub use self::scrape::Scrape;
use self::{
    otlp::Otlp,
    scrape::{Histograms, unit},
};
use crate::{
    catalog::{Kind, all, find},
    resource::scope,
};

/// Makes the process's recorder, of which each series goes to `provider` and, if `scrape`, to the scrape
/// of `resource`.
///
/// # Errors
/// If there is one already.
pub(crate) fn install(
    provider: Option<&SdkMeterProvider>,
    scrape: bool,
    resource: &Resource,
) -> Result<Option<Scrape>, impl std::error::Error + use<>> {
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
    let recorder = FanoutRecorder { others: others.build(), histograms, otlp };
    describe(&recorder);
    metrics::set_global_recorder(recorder).map(|()| scrape)
}

fn describe(recorder: &impl Recorder) {
    for metric in all() {
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

/// The scrape and OTLP.
struct FanoutRecorder {
    /// What keeps counters and gauges.
    others: Fanout,
    histograms: Option<Arc<Histograms>>,
    otlp: Option<Arc<Otlp>>,
}

impl Recorder for FanoutRecorder {
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

/// The OTLP side: units and buckets as the catalog has them, which the facade does not know.
pub(crate) fn provider<E: PushMetricExporter>(
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

#[cfg(test)]
mod tests {
    use metrics::Level;

    use super::*;

    #[test]
    fn scrapes_histograms_of_libraries() {
        let histograms = Arc::<Histograms>::default();
        let recorder = FanoutRecorder {
            others: FanoutBuilder::default().build(),
            histograms: Some(histograms.clone()),
            otlp: None,
        };
        let (unit, help) = (Some(Unit::Milliseconds), "Its time.".into());
        recorder.describe_histogram("library.time".into(), unit, help);
        let metadata = Metadata::new(module_path!(), Level::INFO, None);
        for name in ["library.time", "library.size"] {
            recorder.register_histogram(&Key::from_name(name), &metadata).record(7.0);
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
}
