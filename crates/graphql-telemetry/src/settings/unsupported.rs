//! Standard variables that are known and have no effect. `docs/opentelemetry-variables.md` lists
//! them with the others.

use super::environment::Environment;

/// A variable, the values that ask for nothing else than what is done anyway, and the reason why
/// others have no effect.
type Unsupported = (&'static str, &'static [&'static str], &'static str);

const CONFIG_FILE: &str = "configuration files are not supported; the variables are read";
const PROMETHEUS: &str = "metrics are served by the admin listener";
const EXPORTER: &str = "this exporter is not supported";
const INSECURE: &str = "obsolete; use OTEL_EXPORTER_OTLP_INSECURE";

const UNSUPPORTED: [Unsupported; 17] = [
    ("OTEL_CONFIG_FILE", &[], CONFIG_FILE),
    ("OTEL_EXPERIMENTAL_CONFIG_FILE", &[], CONFIG_FILE),
    ("OTEL_ENTITIES", &[], "entities are not supported; use OTEL_RESOURCE_ATTRIBUTES"),
    ("OTEL_METRICS_EXEMPLAR_FILTER", &["always_off"], "exemplars are not supported"),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        &["explicit_bucket_histogram"],
        "histograms have explicit buckets",
    ),
    ("OTEL_EXPORTER_OTLP_SPAN_INSECURE", &[], INSECURE),
    ("OTEL_EXPORTER_OTLP_METRIC_INSECURE", &[], INSECURE),
    ("OTEL_EXPORTER_PROMETHEUS_HOST", &[], PROMETHEUS),
    ("OTEL_EXPORTER_PROMETHEUS_PORT", &[], PROMETHEUS),
    ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", &[], EXPORTER),
    ("OTEL_EXPORTER_ZIPKIN_TIMEOUT", &[], EXPORTER),
    ("OTEL_EXPORTER_ZIPKIN_PROTOCOL", &[], EXPORTER),
    ("OTEL_EXPORTER_JAEGER_ENDPOINT", &[], EXPORTER),
    ("OTEL_EXPORTER_JAEGER_AGENT_HOST", &[], EXPORTER),
    ("OTEL_EXPORTER_JAEGER_AGENT_PORT", &[], EXPORTER),
    ("OTEL_EXPORTER_JAEGER_PROTOCOL", &[], EXPORTER),
    ("OTEL_EXPORTER_JAEGER_TIMEOUT", &[], EXPORTER),
];

/// Notes those that are set.
pub fn note(env: &Environment) {
    for (variable, supported, reason) in UNSUPPORTED {
        let value = env.text(variable);
        let unsupported =
            |value: &String| supported.iter().all(|known| !value.eq_ignore_ascii_case(known));
        if let Some(value) = value.filter(unsupported) {
            env.ignore(variable, &value, reason);
        }
    }
}
