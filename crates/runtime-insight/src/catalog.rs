//! Catalogs of metrics: each is declared once, with its kind, unit, help and attributes, and recorded
//! through the facade `metrics`.

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};

/// What a metric is to OTLP. Prometheus sees up-down counters as gauges, since it has no other type
/// for them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Whole numbers that only grow.
    Counter,
    /// Seconds that only grow; recorded by setting the total.
    Sum,
    /// A number of things that are there now; adding up over instances makes sense.
    UpDown,
    /// A measurement that replaces the last; adding up does not make sense.
    Gauge,
    /// A distribution, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// One entry of a catalog.
#[derive(Debug)]
pub struct Metric {
    /// Its name by OpenTelemetry's rules; Prometheus' follows from it and the unit.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its unit, by UCUM.
    pub unit: &'static str,
    /// What it measures.
    pub help: &'static str,
    /// The attributes that its series may have, whose values come from fixed sets.
    pub attributes: &'static [&'static str],
}

static METADATA: Metadata<'static> = Metadata::new("runtime_insight", Level::INFO, None);

impl Metric {
    /// Returns the series with these attributes, to be kept: looking it up costs a lock.
    ///
    /// # Panics
    /// In debug builds, if the metric is of another kind or does not declare one of the attributes.
    pub fn counter(&self, labels: Vec<Label>) -> Counter {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        self.register(labels, |recorder, key| recorder.register_counter(key, &METADATA))
    }

    /// See [`Metric::counter`].
    pub fn gauge(&self, labels: Vec<Label>) -> Gauge {
        debug_assert!(matches!(self.kind, Kind::UpDown | Kind::Gauge | Kind::Sum), "{}", self.name);
        self.register(labels, |recorder, key| recorder.register_gauge(key, &METADATA))
    }

    /// See [`Metric::counter`].
    pub fn histogram(&self, labels: Vec<Label>) -> Histogram {
        debug_assert!(matches!(self.kind, Kind::Histogram(_)), "{}", self.name);
        self.register(labels, |recorder, key| recorder.register_histogram(key, &METADATA))
    }

    fn register<T>(&self, labels: Vec<Label>, register: impl Fn(&dyn Recorder, &Key) -> T) -> T {
        for label in &labels {
            debug_assert!(
                self.attributes.contains(&label.key()),
                "{} does not declare the attribute {}",
                self.name,
                label.key()
            );
        }
        let key = Key::from_parts(self.name, labels);
        metrics::with_recorder(|recorder| register(recorder, &key))
    }
}

/// Declares metrics as statics, and the list of them.
///
/// ```
/// use runtime_insight::catalog::Kind;
/// runtime_insight::catalog! {
///     /// The metrics of the shop.
///     pub static SHOP;
///     pub(crate) metrics:
///     ORDERS = "shop.orders", Kind::Counter, "{order}", &["shop.channel"], "Orders that were placed.";
/// }
/// ORDERS.counter(vec![metrics::Label::new("shop.channel", "web")]).increment(1);
/// assert_eq!(SHOP.len(), 1);
/// ```
#[macro_export]
macro_rules! catalog {
    ($(#[$doc:meta])* $visibility:vis static $list:ident; $of_each:vis metrics:
     $($id:ident = $name:expr, $kind:expr, $unit:expr, $attributes:expr, $help:expr;)*) => {
        $(
            #[doc = $help]
            $of_each static $id: $crate::catalog::Metric = $crate::catalog::Metric {
                name: $name,
                kind: $kind,
                unit: $unit,
                help: $help,
                attributes: $attributes,
            };
        )*
        $(#[$doc])*
        $visibility static $list: &[&$crate::catalog::Metric] = &[$(&$id),*];
    };
}
