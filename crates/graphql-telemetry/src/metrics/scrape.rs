//! What Prometheus scrapes. Counters and gauges are kept by metrics-exporter-prometheus; histograms
//! are counted here into their buckets at once. That crate keeps each value with its time until the
//! next scrape: at 10,000 requests a second some 30 MB, and as much work again to count them then.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{Histogram, HistogramFn, Key, Label, Unit};
use metrics_exporter_prometheus::{
    LabelSet, PrometheusHandle,
    formatting::{sanitize_metric_name, write_help_line, write_metric_line, write_type_line},
};
use opentelemetry_sdk::Resource;

use crate::catalog::{Kind, Metric, all};

/// The metrics as they are now. Clones share them.
#[derive(Clone)]
pub struct Scrape {
    /// `target_info`, by which the scrape says whose it is.
    target: Arc<str>,
    others: PrometheusHandle,
    histograms: Arc<Histograms>,
}

impl Scrape {
    /// Of the recorder that has `others`, and of `histograms`, by what `resource` is.
    pub fn new(resource: &Resource, others: PrometheusHandle, histograms: Arc<Histograms>) -> Self {
        Self { target: target_info(resource).into(), others, histograms }
    }

    /// In Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = sums_as_counters(self.others.render());
        text.push_str(&self.target);
        self.histograms.render(&mut text);
        text
    }
}

/// The attributes of `resource`, as the labels of a series that is always 1
/// (opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#resource-attributes-1).
fn target_info(resource: &Resource) -> String {
    const NAME: &str = "target_info";
    let labels: Vec<Label> = resource
        .iter()
        .map(|(key, value)| Label::new(key.as_str().to_owned(), value.to_string()))
        .collect();
    let mut text = String::new();
    write_help_line(&mut text, NAME, None, None, "What is scraped, by its resource attributes.");
    write_type_line(&mut text, NAME, None, None, "gauge");
    let none = None::<(_, &str)>;
    write_metric_line(
        &mut text,
        NAME,
        None,
        &labels_of(&Key::from_parts(NAME, labels)),
        none,
        1,
        None,
    );
    text.push('\n');
    text
}

#[expect(clippy::default_trait_access, reason = "the map is of a crate that we have not")]
fn labels_of(key: &Key) -> LabelSet {
    LabelSet::from_key_and_global(key, &Default::default())
}

/// The facade has no counter of fractions, so that they come as gauges.
fn sums_as_counters(mut text: String) -> String {
    for metric in all().filter(|metric| metric.kind == Kind::Sum) {
        let name = format!("{}_seconds", sanitize_metric_name(metric.name));
        for (gauge, counter) in [
            (format!("# HELP {name} "), format!("# HELP {name}_total ")),
            (format!("# TYPE {name} gauge"), format!("# TYPE {name}_total counter")),
            (format!("\n{name}{{"), format!("\n{name}_total{{")),
        ] {
            text = text.replace(&gauge, &counter);
        }
    }
    text
}

/// The histograms that were ever recorded.
#[derive(Default)]
pub struct Histograms(Mutex<BTreeMap<&'static str, Family>>);

/// All series of a metric.
struct Family {
    metric: &'static Metric,
    series: Vec<(Key, Arc<Buckets>)>,
}

impl Histograms {
    /// The series of `metric` with the labels of `key`. What is recorded goes `on` as well.
    pub fn register(
        &self,
        key: &Key,
        metric: &'static Metric,
        bounds: &'static [f64],
        on: Histogram,
    ) -> Histogram {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let family =
            families.entry(metric.name).or_insert_with(|| Family { metric, series: Vec::new() });
        if let Some((_, buckets)) = family.series.iter().find(|(known, _)| known == key) {
            return Histogram::from_arc(buckets.clone());
        }
        let buckets = Arc::new(Buckets::new(bounds, on));
        family.series.push((key.clone(), buckets.clone()));
        Histogram::from_arc(buckets)
    }

    /// Appends them in Prometheus' text format.
    pub fn render(&self, text: &mut String) {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for family in families.values() {
            family.render(text);
            text.push('\n');
        }
    }
}

impl Family {
    fn render(&self, text: &mut String) {
        let name = sanitize_metric_name(self.metric.name);
        let unit = unit(self.metric);
        write_help_line(text, &name, unit, None, self.metric.help);
        write_type_line(text, &name, unit, None, "histogram");
        for (key, buckets) in &self.series {
            let labels = labels_of(key);
            let mut count = 0;
            let bounds = buckets.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            for (bound, bucket) in bounds.zip(&buckets.counts) {
                count += bucket.load(Ordering::Relaxed);
                let le = Some(("le", bound));
                write_metric_line(text, &name, Some("bucket"), &labels, le, count, unit);
            }
            let sum = f64::from_bits(buckets.sum.load(Ordering::Relaxed));
            let none = None::<(_, &str)>;
            write_metric_line(text, &name, Some("sum"), &labels, none, sum, unit);
            write_metric_line(text, &name, Some("count"), &labels, none, count, unit);
        }
    }
}

/// What a metric's unit is to the facade, which knows few.
#[must_use]
#[expect(clippy::unnecessary_wraps, reason = "as the facade takes it")]
pub fn unit(metric: &Metric) -> Option<Unit> {
    match metric.unit {
        "s" => Some(Unit::Seconds),
        "By" => Some(Unit::Bytes),
        _ => Some(Unit::Count),
    }
}

/// One series.
struct Buckets {
    /// The upper bounds, of all but the last bucket.
    bounds: &'static [f64],
    /// How many values fell into each bucket.
    counts: Box<[AtomicU64]>,
    /// Of all values, as bits.
    sum: AtomicU64,
    on: Histogram,
}

impl Buckets {
    fn new(bounds: &'static [f64], on: Histogram) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        Self { bounds, counts, sum: AtomicU64::new(0f64.to_bits()), on }
    }

    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    fn add(&self, value: f64, count: usize) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(count as u64, Ordering::Relaxed);
        let more = value * count as f64;
        let add = |sum| Some((f64::from_bits(sum) + more).to_bits());
        // It cannot fail: it is tried until nobody came in between.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        self.add(value, 1);
        self.on.record(value);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.add(value, count);
        self.on.record_many(value, count);
    }
}

#[cfg(test)]
mod tests {
    use metrics::Label;

    use super::*;
    use crate::catalog::DB_ROWS;

    #[test]
    fn a_histogram_is_cumulative_and_escaped() {
        let histograms = Histograms::default();
        let Kind::Histogram(bounds) = DB_ROWS.kind else { panic!("it is one") };
        let register = |name: &'static str| {
            let key = Key::from_parts(DB_ROWS.name, vec![Label::new("db.namespace", name)]);
            histograms.register(&key, &DB_ROWS, bounds, Histogram::noop())
        };
        let books = register("the \"books\"");
        books.record(1);
        books.record_many(3, 2);
        register("the \"books\"").record(1e6);
        register("other").record(0.5);
        let mut text = String::new();
        histograms.render(&mut text);
        let line = |end: &str| {
            let line = text.lines().find(|line| line.contains(end));
            line.unwrap_or_else(|| panic!("{end} is not in {text}")).rsplit_once(' ').unwrap().1
        };
        assert!(text.starts_with("# HELP db_client_response_returned_rows "), "{text}");
        assert!(text.contains("# TYPE db_client_response_returned_rows histogram\n"), "{text}");
        let books = r#"db_namespace="the \"books\"""#;
        let counts = ["1", "2", "5", "+Inf"].map(|le| line(&format!(r#"{{{books},le="{le}"}}"#)));
        assert_eq!(counts, ["1", "1", "3", "4"]);
        assert_eq!(line(&format!("_count{{{books}}}")), "4");
        assert_eq!(line(&format!("_sum{{{books}}}")), "1000007");
        assert_eq!(line("_count{db_namespace=\"other\"}"), "1");
    }
}
