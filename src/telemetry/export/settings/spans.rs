//! Settings of spans.

use opentelemetry_sdk::trace::{Sampler, SpanLimits};

use super::{
    environment::{Environment, Result},
    values::{count, ratio},
};

/// Which traces are recorded.
pub fn sampler(env: &Environment) -> Result<Sampler> {
    const VARIABLE: &str = "OTEL_TRACES_SAMPLER";
    const EXPECTED: &str =
        "must be always_on, always_off or traceidratio, or one of them behind parentbased_";
    let name = env.choice(VARIABLE, EXPECTED, |name| {
        let root = name.strip_prefix("parentbased_").unwrap_or(name);
        ["always_on", "always_off", "traceidratio"].contains(&root).then(|| name.to_owned())
    });
    let name = name.unwrap_or_else(|| "parentbased_always_on".to_owned());
    let root = match name.strip_prefix("parentbased_").unwrap_or(&name) {
        "always_off" => Sampler::AlwaysOff,
        // The argument of other samplers is something else, or nothing.
        "traceidratio" => {
            Sampler::TraceIdRatioBased(env.get("OTEL_TRACES_SAMPLER_ARG", ratio)?.unwrap_or(1.0))
        }
        _ => Sampler::AlwaysOn,
    };
    let is_parent_based = name.starts_with("parentbased_");
    Ok(if is_parent_based { Sampler::ParentBased(Box::new(root)) } else { root })
}

/// How much a span holds.
pub fn span_limits(env: &Environment) -> Result<SpanLimits> {
    let standard = SpanLimits::default();
    let limit = |variable, standard| Ok(env.get(variable, count)?.unwrap_or(standard));
    Ok(SpanLimits {
        max_attributes_per_span: limit(
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
            standard.max_attributes_per_span,
        )?,
        max_events_per_span: limit("OTEL_SPAN_EVENT_COUNT_LIMIT", standard.max_events_per_span)?,
        max_links_per_span: limit("OTEL_SPAN_LINK_COUNT_LIMIT", standard.max_links_per_span)?,
        ..standard
    })
}
