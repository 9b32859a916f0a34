//! The environment variables that every OpenTelemetry SDK knows
//! (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables and
//! …/protocol/exporter). Read here and handed on: the libraries pass over values that they
//! cannot use, and here each is an error that names its variable.

mod spans;
mod values;

use std::{fmt, time::Duration};

use axum::http::{HeaderName, HeaderValue};
use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::{metrics::Temporality, trace::SpanLimits};
use url::Url;

use self::{
    spans::{sampler, span_limits},
    values::{
        boolean, endpoint, exceptions, gzip, headers, milliseconds, pairs, pem, positive,
        propagators, protocol, temporality,
    },
};
use crate::telemetry::{exception::ExceptionSignal, trace_context::CallerSampler};

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
    pub span_limits: SpanLimits,
    /// Whether `traceparent` and `tracestate` are read.
    pub propagate: bool,
    /// The queue of spans.
    pub span_queue: QueueSettings,
    /// The queue of log records.
    pub log_queue: QueueSettings,
    /// How often metrics are sent.
    pub metric_interval: Duration,
    /// Whether OTLP metrics tell totals or what was added.
    pub temporality: Temporality,
    /// Whether exceptions are told by spans or by log records.
    pub exceptions: ExceptionSignal,
    /// What is to be told of this service in addition.
    pub resource: Vec<KeyValue>,
}

/// Where the data of a signal go.
#[derive(Clone, Debug)]
pub enum Exporter {
    /// Nowhere.
    None,
    /// To standard output, for looking at.
    Console,
    /// To a collector.
    Otlp(Box<Otlp>),
}

/// A collector and how to talk to it.
#[derive(Clone)]
pub struct Otlp {
    /// gRPC or HTTP.
    pub protocol: Protocol,
    /// With the signal's path, if by HTTP.
    pub endpoint: Url,
    /// For one export with all its attempts.
    pub timeout: Duration,
    /// Whether to compress.
    pub gzip: bool,
    /// What each request carries. (The exporter of metrics reads them itself, from the same
    /// variables.)
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The PEM files to trust and to show.
    pub tls: Tls,
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Grpc => "grpc",
            Protocol::Http => "http/protobuf",
        };
        write!(f, "{protocol} to {}", self.endpoint.origin().ascii_serialization())
    }
}

/// OTLP's transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`
    Grpc,
    /// `http/protobuf`
    Http,
}

/// PEM texts for TLS.
#[derive(Clone, Default)]
pub struct Tls {
    /// Who may have signed the collector's certificate; the system's trust store if nothing is
    /// said.
    pub authority: Option<Vec<u8>>,
    /// What this service shows for itself: certificate and key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A batching queue. It holds more than the specification's by default (2048, and 5 s): a service
/// that answers thousands of requests a second fills that in between two exports. The batch is the
/// specification's: a larger one keeps requests waiting while it is sent, which the 99th percentile
/// shows (docs/performance.md).
#[derive(Clone, Copy, Debug)]
pub struct QueueSettings {
    /// Items that wait at most; those beyond are dropped and counted.
    pub capacity: usize,
    /// Items of one export at most.
    pub batch: usize,
    /// How long an item waits for others at most.
    pub delay: Duration,
    /// How long one export may take.
    pub timeout: Duration,
}

/// A variable with a value that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable} cannot be '{value}': {expected}")]
pub struct BadVariable {
    variable: String,
    value: String,
    expected: String,
}

type Result<T> = std::result::Result<T, BadVariable>;

impl ExportSettings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// The first variable whose value cannot be used.
    pub fn from_env() -> Result<Self> {
        Self::read(&Environment(&|name| std::env::var(name).ok()))
    }

    fn read(env: &Environment) -> Result<Self> {
        let (metrics, scrape) = metric_exporters(env)?;
        Ok(Self {
            disabled: env.get("OTEL_SDK_DISABLED", boolean)?.unwrap_or(false),
            traces: exporter(env, "TRACES")?,
            metrics,
            logs: exporter(env, "LOGS")?,
            scrape,
            sampler: CallerSampler { sampler: sampler(env)?, trust: false },
            span_limits: span_limits(env)?,
            propagate: env.get("OTEL_PROPAGATORS", propagators)?.unwrap_or(true),
            span_queue: queue(env, "OTEL_BSP")?,
            log_queue: queue(env, "OTEL_BLRP")?,
            metric_interval: env
                .get("OTEL_METRIC_EXPORT_INTERVAL", milliseconds)?
                .unwrap_or(Duration::from_mins(1)),
            temporality: env
                .get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", temporality)?
                .unwrap_or_default(),
            exceptions: env
                .get("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", exceptions)?
                .unwrap_or_default(),
            resource: resource(env)?,
        })
    }

    /// Whether the sampler regards the `sampled` flag of callers.
    #[must_use]
    pub fn trusting_callers(mut self, trust: bool) -> Self {
        self.sampler.trust = trust;
        self
    }

    /// The collectors that something goes to.
    pub fn collectors(&self) -> impl Iterator<Item = &Otlp> {
        [&self.traces, &self.metrics, &self.logs].into_iter().filter_map(
            |exporter| match exporter {
                Exporter::Otlp(otlp) => Some(&**otlp),
                Exporter::None | Exporter::Console => None,
            },
        )
    }
}

/// Variables, from wherever. A variable that is set and empty counts as unset, as the
/// specification has it.
struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn get<T, E: fmt::Display>(
        &self,
        variable: &str,
        parse: impl FnOnce(&str) -> std::result::Result<T, E>,
    ) -> Result<Option<T>> {
        let Some(value) = (self.0)(variable).filter(|value| !value.trim().is_empty()) else {
            return Ok(None);
        };
        parse(value.trim()).map(Some).map_err(|expected| BadVariable {
            variable: variable.to_owned(),
            // Headers are mostly tokens, and a URL may have a password.
            value: if variable.ends_with("HEADERS") || value.contains('@') {
                "…".to_owned()
            } else {
                value
            },
            expected: expected.to_string(),
        })
    }

    /// The value for one signal, or else for all.
    fn for_signal<T, E: fmt::Display>(
        &self,
        signal: &str,
        what: &str,
        parse: impl Fn(&str) -> std::result::Result<T, E>,
    ) -> Result<Option<T>> {
        match self.get(&format!("OTEL_EXPORTER_OTLP_{signal}_{what}"), &parse)? {
            Some(value) => Ok(Some(value)),
            None => self.get(&format!("OTEL_EXPORTER_OTLP_{what}"), parse),
        }
    }
}

fn exporter(env: &Environment, signal: &str) -> Result<Exporter> {
    let variable = format!("OTEL_{signal}_EXPORTER");
    let choice = env.get(&variable, |name| match name {
        "otlp" | "console" | "none" => Ok(name.to_owned()),
        _ => Err("must be otlp, console or none"),
    })?;
    chosen(env, signal, choice.as_deref())
}

/// Metrics may have two ways out at once, such as `otlp,prometheus`; the scrape is always there
/// unless something else was chosen.
fn metric_exporters(env: &Environment) -> Result<(Exporter, bool)> {
    let choice = env.get("OTEL_METRICS_EXPORTER", |names| {
        let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
        let known = |name: &String| ["otlp", "console", "none", "prometheus"].contains(&&**name);
        if names.iter().all(known) && names.iter().filter(|n| *n != "prometheus").count() <= 1 {
            Ok(names)
        } else {
            Err("must be otlp, console or none, or prometheus, or prometheus with one of them")
        }
    })?;
    let Some(names) = choice else { return Ok((chosen(env, "METRICS", None)?, true)) };
    let scrape = names.iter().any(|name| name == "prometheus") || names == ["otlp"];
    let other = names.iter().find(|name| *name != "prometheus").map_or("none", String::as_str);
    Ok((chosen(env, "METRICS", Some(other))?, scrape))
}

/// With nothing chosen, OTLP if an endpoint is set, and nothing otherwise.
fn chosen(env: &Environment, signal: &str, choice: Option<&str>) -> Result<Exporter> {
    let endpoint = env.for_signal(signal, "ENDPOINT", endpoint)?.is_some();
    match choice {
        Some("console") => Ok(Exporter::Console),
        Some("none") => Ok(Exporter::None),
        None if !endpoint => Ok(Exporter::None),
        _ => Ok(Exporter::Otlp(Box::new(otlp(env, signal)?))),
    }
}

fn otlp(env: &Environment, signal: &str) -> Result<Otlp> {
    let protocol = env.for_signal(signal, "PROTOCOL", protocol)?.unwrap_or(Protocol::Http);
    let own = env.get(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"), endpoint)?;
    let common = env.get("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)?;
    let endpoint = match (own, common, protocol) {
        // Only the endpoint of one signal is taken as it is.
        (Some(own), _, _) => own,
        (None, Some(common), Protocol::Grpc) => common,
        (None, Some(common), Protocol::Http) => with_path(common, signal),
        (None, None, Protocol::Grpc) => known_url("http://localhost:4317"),
        (None, None, Protocol::Http) => with_path(known_url("http://localhost:4318"), signal),
    };
    Ok(Otlp {
        protocol,
        endpoint,
        timeout: env
            .for_signal(signal, "TIMEOUT", milliseconds)?
            .unwrap_or(Duration::from_secs(10)),
        gzip: env.for_signal(signal, "COMPRESSION", gzip)?.unwrap_or(false),
        headers: env.for_signal(signal, "HEADERS", headers)?.unwrap_or_default(),
        tls: Tls {
            authority: env.for_signal(signal, "CERTIFICATE", pem)?,
            identity: identity(env, signal)?,
        },
    })
}

fn identity(env: &Environment, signal: &str) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let certificate = env.for_signal(signal, "CLIENT_CERTIFICATE", pem)?;
    let key = env.for_signal(signal, "CLIENT_KEY", pem)?;
    if certificate.is_some() != key.is_some() {
        return Err(BadVariable {
            variable: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE".to_owned(),
            value: "…".to_owned(),
            expected: "must be given together with OTEL_EXPORTER_OTLP_CLIENT_KEY".to_owned(),
        });
    }
    Ok(certificate.zip(key))
}

fn known_url(url: &str) -> Url {
    Url::parse(url).expect("a URL of ours")
}

fn with_path(mut endpoint: Url, signal: &str) -> Url {
    let base = endpoint.path().trim_end_matches('/');
    let path = format!("{base}/v1/{}", signal.to_ascii_lowercase());
    endpoint.set_path(&path);
    endpoint
}

fn queue(env: &Environment, prefix: &str) -> Result<QueueSettings> {
    let capacity = env.get(&format!("{prefix}_MAX_QUEUE_SIZE"), positive)?.unwrap_or(16_384);
    let batch = env.get(&format!("{prefix}_MAX_EXPORT_BATCH_SIZE"), positive)?.unwrap_or(512);
    Ok(QueueSettings {
        capacity,
        batch: batch.min(capacity),
        delay: env
            .get(&format!("{prefix}_SCHEDULE_DELAY"), milliseconds)?
            .unwrap_or(Duration::from_secs(1)),
        timeout: env
            .get(&format!("{prefix}_EXPORT_TIMEOUT"), milliseconds)?
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

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ExportSettings> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        ExportSettings::read(&Environment(&|name| {
            variables.get(name).map(|value| (*value).to_owned())
        }))
    }

    fn traces(variables: &[(&str, &str)]) -> Otlp {
        match read(variables).unwrap().traces {
            Exporter::Otlp(otlp) => *otlp,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_leaves_unless_a_place_is_named() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.collectors().count(), 0);
        assert!(settings.scrape);
        assert_eq!(settings.span_limits.max_attributes_per_span, 128);
        let settings = read(&[("OTEL_SPAN_EVENT_COUNT_LIMIT", "0")]).unwrap();
        assert_eq!(settings.span_limits.max_events_per_span, 0);
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
    fn a_signal_has_its_own_settings() {
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
    fn a_value_that_cannot_be_used_names_its_variable() {
        for (variable, value) in [
            ("OTEL_SDK_DISABLED", "perhaps"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_METRICS_EXPORTER", "otlp,console"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
            ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1"),
            ("OTEL_SPAN_LINK_COUNT_LIMIT", "1e9"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "soon"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
            ("OTEL_PROPAGATORS", "b3"),
            ("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "spans"),
            ("OTEL_RESOURCE_ATTRIBUTES", "no pairs"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "now"),
        ] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.contains(variable) && error.contains(value), "{error}");
        }
        let place = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1s"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
            ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "s3cret"),
        ] {
            let error = read(&[place, (variable, value)]).unwrap_err().to_string();
            assert!(error.contains(variable) && !error.contains("s3cret"), "{error}");
        }
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
