//! The environment variables that every OpenTelemetry SDK knows
//! (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables and
//! …/protocol/exporter), read here and handed on.

mod environment;
mod exporters;
mod spans;
mod unsupported;
mod values;

use std::time::Duration;

use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::metrics::Temporality;
pub use otlp_export::{AttributeLimits, OtlpOptions, Protocol, QueueOptions, SpanBounds, Tls};
use tracing_subscriber::filter::LevelFilter;

pub use self::environment::{BadVariable, IgnoredValue};
use self::{
    environment::{Environment, Result},
    exporters::{exporter, metric_exporters},
    spans::{attribute_limits, sampler, span_limits},
    values::{
        delay, exceptions, interval, log_level, pairs, positive, propagator, temporality, timeout,
    },
};
pub use crate::{exception::ExceptionSignal, trace_context::CallerSampler};

/// How telemetry leaves the process.
#[derive(Clone, Debug)]
pub struct ExportSettings {
    /// `OTEL_SDK_DISABLED`: nothing is recorded and nothing leaves.
    pub disabled: bool,
    /// Where spans go.
    pub traces: Exporter,
    /// Where metrics go, besides the scrape.
    pub metrics: Exporter,
    /// Where log records go, besides standard output.
    pub logs: Exporter,
    /// Whether metrics can be scraped.
    pub scrape: bool,
    /// Which traces are recorded: all, if nothing is said.
    pub sampler: CallerSampler,
    /// How many attributes, events and links a span has at most.
    pub span_limits: SpanBounds,
    /// How many attributes a log record has, and how long their texts are.
    pub record_limits: AttributeLimits,
    /// Whether `traceparent` and `tracestate` are read.
    pub propagate: bool,
    /// The queue of spans.
    pub span_queue: QueueOptions,
    /// The queue of log records.
    pub log_queue: QueueOptions,
    /// How often metrics are sent.
    pub metric_interval: Duration,
    /// How long one export of metrics may take.
    pub metric_timeout: Duration,
    /// Whether OTLP metrics are totals or differences.
    pub temporality: Temporality,
    /// Whether exceptions are recorded by spans or by log records.
    pub exceptions: ExceptionSignal,
    /// From which level on the exporters log, if that is not left to the log filter.
    pub log_level: Option<LevelFilter>,
    /// Further attributes of the resource.
    pub resource: Vec<KeyValue>,
    /// Values without effect.
    pub ignored: Vec<IgnoredValue>,
}

/// Where the data of a signal go.
#[derive(Clone, Debug)]
pub enum Exporter {
    /// Nowhere.
    None,
    /// To standard output, for looking at.
    Console,
    /// To a collector.
    Otlp(Box<OtlpOptions>),
}

impl Default for ExportSettings {
    /// Nothing is exported; metrics can be scraped.
    fn default() -> Self {
        Self::read(Environment::new(&|_| None)).expect("nothing is set, so nothing is wrong")
    }
}

impl ExportSettings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// The first variable whose value cannot be used.
    pub fn from_env() -> Result<Self> {
        let lookup = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
        Self::read(Environment::new(&lookup))
    }

    fn read(env: Environment) -> Result<Self> {
        let (metrics, scrape) = metric_exporters(&env)?;
        unsupported::note(&env);
        Ok(Self {
            disabled: env.flag("OTEL_SDK_DISABLED").unwrap_or(false),
            traces: exporter(&env, "TRACES")?,
            metrics,
            logs: exporter(&env, "LOGS")?,
            scrape,
            sampler: CallerSampler { sampler: sampler(&env)?, trust: false },
            span_limits: span_limits(&env)?,
            record_limits: attribute_limits(&env, "LOGRECORD")?,
            propagate: propagates(&env),
            span_queue: queue(&env, "OTEL_BSP")?,
            log_queue: queue(&env, "OTEL_BLRP")?,
            metric_interval: env
                .get("OTEL_METRIC_EXPORT_INTERVAL", interval)?
                .unwrap_or(Duration::from_mins(1)),
            metric_timeout: env
                .get("OTEL_METRIC_EXPORT_TIMEOUT", timeout)?
                .unwrap_or(Duration::from_secs(30)),
            temporality: env
                .choice(
                    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                    "must be cumulative, delta or lowmemory",
                    temporality,
                )
                .unwrap_or_default(),
            exceptions: exception_signal(&env),
            log_level: env.choice(
                "OTEL_LOG_LEVEL",
                "must be none, error, warn, info, debug or trace",
                log_level,
            ),
            resource: resource(&env)?,
            ignored: env.into_ignored(),
        })
    }

    /// Whether the sampler regards the `sampled` flag of callers.
    #[must_use]
    pub fn trusting_callers(mut self, trust: bool) -> Self {
        self.sampler.trust = trust;
        self
    }

    /// Whether anything is exported. Scrapes are not: they come for what serves.
    #[must_use]
    pub fn exports(&self) -> bool {
        let all = [&self.traces, &self.metrics, &self.logs];
        !self.disabled && !all.iter().all(|exporter| matches!(exporter, Exporter::None))
    }

    /// The collectors that something goes to.
    pub fn collectors(&self) -> impl Iterator<Item = &OtlpOptions> {
        [&self.traces, &self.metrics, &self.logs].into_iter().filter_map(
            |exporter| match exporter {
                Exporter::Otlp(otlp) => Some(&**otlp),
                Exporter::None | Exporter::Console => None,
            },
        )
    }
}

/// Whether the W3C trace context is among the propagators.
fn propagates(env: &Environment) -> bool {
    let choices = env.choices("OTEL_PROPAGATORS", "must be tracecontext or none", propagator);
    choices.is_empty() || choices.contains(&true)
}

fn exception_signal(env: &Environment) -> ExceptionSignal {
    const VARIABLE: &str = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN";
    let choices = env.choices(VARIABLE, "must be logs or logs/dup", exceptions);
    // Where both are in the list, the one that loses nothing.
    choices
        .iter()
        .find(|choice| **choice == ExceptionSignal::Both)
        .or(choices.first())
        .copied()
        .unwrap_or_default()
}

/// Bytes that wait in a queue. With what is being sent, in the batch and in the request, a signal
/// takes less than 32 MiB (docs/limits.md).
const QUEUE_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of the items of an export. With the resource around them, which is at most some hundred
/// KiB of variables, a request is below the 4 MiB that collectors accept by gRPC.
const BATCH_BYTES: usize = 3 * 1024 * 1024;

fn queue(env: &Environment, prefix: &str) -> Result<QueueOptions> {
    let capacity = env.get(&format!("{prefix}_MAX_QUEUE_SIZE"), positive)?.unwrap_or(16_384);
    let batch = env.get(&format!("{prefix}_MAX_EXPORT_BATCH_SIZE"), positive)?.unwrap_or(512);
    Ok(QueueOptions {
        capacity,
        bytes: QUEUE_BYTES,
        batch: batch.min(capacity),
        batch_bytes: BATCH_BYTES,
        delay: env
            .get(&format!("{prefix}_SCHEDULE_DELAY"), delay)?
            .unwrap_or(Duration::from_secs(1)),
        timeout: env
            .get(&format!("{prefix}_EXPORT_TIMEOUT"), timeout)?
            .unwrap_or(Duration::from_secs(30)),
    })
}

fn resource(env: &Environment) -> Result<Vec<KeyValue>> {
    let mut attributes = env.get("OTEL_RESOURCE_ATTRIBUTES", pairs)?.unwrap_or_default();
    if let Some(name) = env.get("OTEL_SERVICE_NAME", |name| Ok::<_, &str>(name.to_owned()))? {
        // Beats the same attribute among the others.
        attributes.push(("service.name".to_owned(), name));
    }
    let attribute = |(key, value)| KeyValue::new(Key::new(key), Value::String(String::into(value)));
    Ok(attributes.into_iter().map(attribute).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry_sdk::trace::Sampler;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ExportSettings> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        ExportSettings::read(Environment::new(&|name| {
            variables.get(name).map(|value| (*value).to_owned())
        }))
    }

    fn traces(variables: &[(&str, &str)]) -> OtlpOptions {
        match read(variables).unwrap().traces {
            Exporter::Otlp(otlp) => *otlp,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn exports_nothing_without_an_endpoint() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.collectors().count(), 0);
        assert!(settings.scrape);
        assert_eq!(settings.span_limits.counts.max_attributes_per_span, 128);
        assert_eq!(settings.span_limits.value_length, 16 * 1024);
        let settings = read(&[("OTEL_SPAN_EVENT_COUNT_LIMIT", "0")]).unwrap();
        assert_eq!(settings.span_limits.counts.max_events_per_span, 0);
        let settings = read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318/x")]).unwrap();
        assert_eq!(settings.collectors().count(), 1);
        let settings = read(&[("OTEL_METRICS_EXPORTER", "console")]).unwrap();
        assert!(matches!(settings.metrics, Exporter::Console) && !settings.scrape);
    }

    #[test]
    fn an_endpoint_gets_the_path_of_the_signal_unless_it_is_of_that_signal() {
        let common = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base/");
        assert_eq!(traces(&[common]).endpoint.as_str(), "http://c:4318/base/v1/traces");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://d:1/as/it/is");
        assert_eq!(traces(&[common, own]).endpoint.as_str(), "http://d:1/as/it/is");
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        assert_eq!(traces(&[("OTEL_TRACES_EXPORTER", "otlp"), grpc]).endpoint.port(), Some(4317));
    }

    #[test]
    fn reads_settings_of_each_signal() {
        let otlp = traces(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=a"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20t, x-more = b"),
        ]);
        let headers: Vec<_> =
            otlp.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(headers, [("authorization", &b"Bearer t"[..]), ("x-more", b"b")]);
        assert_eq!(otlp.timeout, Duration::from_millis(250));
        assert!(otlp.gzip);
    }

    #[test]
    fn rejects_values_that_cannot_be_used() {
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://c"),
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
            ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1"),
            ("OTEL_SPAN_LINK_COUNT_LIMIT", "1e9"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "soon"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
            ("OTEL_METRIC_EXPORT_TIMEOUT", "1s"),
            ("OTEL_RESOURCE_ATTRIBUTES", "no pairs"),
        ] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.contains(variable) && error.contains(value), "{error}");
        }
        let place = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1s"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
            ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "s3cret"),
        ] {
            let error = read(&[place, (variable, value)]).unwrap_err().to_string();
            assert!(error.contains(variable) && !error.contains("s3cret"), "{error}");
        }
        let sampler = ("OTEL_TRACES_SAMPLER", "traceidratio");
        for ratio in ["2", "-0.1", "NaN", "a tenth"] {
            assert!(read(&[sampler, ("OTEL_TRACES_SAMPLER_ARG", ratio)]).is_err(), "{ratio}");
        }
    }

    /// The unsupported values are noted, and what they leave is as if nothing had been set.
    #[test]
    fn ignores_enum_values_that_are_unknown() {
        let place = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let standard = format!("{:?}", with_nothing_ignored(read(&[place]).unwrap()));
        for (variable, value, ignored) in [
            ("OTEL_SDK_DISABLED", "perhaps", "perhaps"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "zipkin"),
            ("OTEL_TRACES_EXPORTER", "otlp,console", "console"),
            ("OTEL_LOGS_EXPORTER", "Jaeger, OTLP", "Jaeger"),
            ("OTEL_METRICS_EXPORTER", "otlp,console", "console"),
            ("OTEL_METRICS_EXPORTER", "logging", "logging"),
            ("OTEL_TRACES_SAMPLER", "sometimes", "sometimes"),
            ("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote", "parentbased_jaeger_remote"),
            ("OTEL_PROPAGATORS", "tracecontext,baggage,b3", "b3"),
            ("OTEL_PROPAGATORS", "b3", "b3"),
            ("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "spans", "spans"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "now", "now"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/json"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zip", "zip"),
            ("OTEL_LOG_LEVEL", "loud", "loud"),
            ("OTEL_CONFIG_FILE", "/etc/otel.yaml", "/etc/otel.yaml"),
            ("OTEL_METRICS_EXEMPLAR_FILTER", "trace_based", "trace_based"),
        ] {
            let settings = read(&[place, (variable, value)]).unwrap();
            let noted: Vec<_> =
                settings.ignored.iter().map(|it| (&*it.variable, &*it.value)).collect();
            assert_eq!(noted, [(variable, ignored)]);
            assert_eq!(format!("{:?}", with_nothing_ignored(settings)), standard, "{variable}");
        }
        let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote");
        let endpoint = ("OTEL_TRACES_SAMPLER_ARG", "endpoint=http://localhost:14250");
        assert_eq!(read(&[sampler, endpoint]).unwrap().ignored.len(), 1);
    }

    fn with_nothing_ignored(settings: ExportSettings) -> ExportSettings {
        ExportSettings { ignored: Vec::new(), ..settings }
    }

    #[test]
    fn reads_enum_values_in_any_case() {
        let place = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let settings = read(&[
            place,
            ("OTEL_SDK_DISABLED", "True"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC"),
            ("OTEL_METRICS_EXPORTER", "Prometheus"),
            ("OTEL_LOGS_EXPORTER", "NONE"),
            ("OTEL_TRACES_SAMPLER", "Always_Off"),
            ("OTEL_PROPAGATORS", "None"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "DELTA"),
            ("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "Logs/Dup"),
            ("OTEL_LOG_LEVEL", "WARN"),
            ("OTEL_METRICS_EXEMPLAR_FILTER", "ALWAYS_OFF"),
        ])
        .unwrap();
        assert_eq!(settings.ignored, []);
        assert!(settings.disabled && settings.scrape && !settings.propagate);
        let Exporter::Otlp(otlp) = settings.traces else { panic!("{:?}", settings.traces) };
        assert!(otlp.gzip && otlp.protocol == Protocol::Grpc);
        assert!(matches!((settings.metrics, settings.logs), (Exporter::None, Exporter::None)));
        assert!(matches!(settings.sampler.sampler, Sampler::AlwaysOff));
        assert_eq!(settings.temporality, Temporality::Delta);
        assert_eq!(settings.exceptions, ExceptionSignal::Both);
        assert_eq!(settings.log_level, Some(LevelFilter::WARN));
    }

    #[test]
    fn empty_values_are_not_set() {
        let standard = format!("{:?}", read(&[]).unwrap());
        for variable in [
            "OTEL_SDK_DISABLED",
            "OTEL_SERVICE_NAME",
            "OTEL_RESOURCE_ATTRIBUTES",
            "OTEL_TRACES_EXPORTER",
            "OTEL_METRICS_EXPORTER",
            "OTEL_TRACES_SAMPLER",
            "OTEL_TRACES_SAMPLER_ARG",
            "OTEL_PROPAGATORS",
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "OTEL_METRIC_EXPORT_TIMEOUT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_CONFIG_FILE",
            "OTEL_LOG_LEVEL",
        ] {
            for empty in ["", "  "] {
                let settings = read(&[(variable, empty)]).unwrap();
                assert_eq!(format!("{settings:?}"), standard, "{variable}");
            }
        }
        let common = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ];
        let empty = ["ENDPOINT", "HEADERS", "COMPRESSION", "TIMEOUT", "PROTOCOL", "CERTIFICATE"]
            .map(|setting| format!("OTEL_EXPORTER_OTLP_METRICS_{setting}"));
        let variables: Vec<_> =
            common.into_iter().chain(empty.iter().map(|variable| (&**variable, ""))).collect();
        let Exporter::Otlp(metrics) = read(&variables).unwrap().metrics else { panic!("no OTLP") };
        assert_eq!(metrics.endpoint.as_str(), "http://c:4318/v1/metrics");
        assert_eq!(metrics.headers[0].1, "Bearer t");
        assert!(metrics.gzip && metrics.timeout == Duration::from_millis(250));
    }

    #[test]
    fn grpc_endpoints_need_no_scheme() {
        let endpoint = |variables: &[(&str, &str)]| {
            let grpc = [
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ];
            let otlp = traces(&[&grpc[..], variables].concat());
            otlp.endpoint.origin().ascii_serialization()
        };
        assert_eq!(endpoint(&[]), "https://collector:4317");
        let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
        assert_eq!(endpoint(&[insecure]), "http://collector:4317");
        let secure = ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "false");
        assert_eq!(endpoint(&[insecure, secure]), "https://collector:4317");
        let with_scheme = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other:1");
        assert_eq!(endpoint(&[insecure, with_scheme]), "https://other:1");
    }

    #[test]
    fn limits_of_spans_and_records_have_a_common_default() {
        let limits = |variables: &[(&str, &str)]| {
            let settings = read(variables).unwrap();
            let (span, record) = (settings.span_limits, settings.record_limits);
            let AttributeLimits { count, length } = span.attributes();
            ((count, length), (record.count, record.length))
        };
        assert_eq!(limits(&[]), ((128, 16_384), (128, 16_384)));
        let common =
            [("OTEL_ATTRIBUTE_COUNT_LIMIT", "9"), ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "99")];
        assert_eq!(limits(&common), ((9, 99), (9, 99)));
        let own = [
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3"),
            ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "33"),
            ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "0"),
        ];
        assert_eq!(limits(&[&common[..], &own].concat()), ((3, 33), (9, 0)));
        let events = [("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "1")];
        assert_eq!(read(&events).unwrap().span_limits.counts.max_attributes_per_event, 1);
    }

    #[test]
    fn disables_a_time_out_of_zero() {
        let place = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let forever = Duration::from_millis(u32::MAX.into());
        assert_eq!(traces(&[place, ("OTEL_EXPORTER_OTLP_TIMEOUT", "0")]).timeout, forever);
        let settings =
            read(&[("OTEL_METRIC_EXPORT_TIMEOUT", "0"), ("OTEL_BSP_SCHEDULE_DELAY", "0")]).unwrap();
        assert_eq!(settings.metric_timeout, forever);
        assert!(settings.span_queue.delay.is_zero());
    }

    #[test]
    fn the_name_of_the_service_beats_the_attribute() {
        let resource = read(&[
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,deployment.environment.name=test%20bed"),
            ("OTEL_SERVICE_NAME", "b"),
        ])
        .unwrap()
        .resource;
        assert_eq!(resource[1], KeyValue::new("deployment.environment.name", "test bed"));
        assert_eq!(resource[2], KeyValue::new("service.name", "b"));
    }
}
