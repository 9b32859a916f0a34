//! Settings of spans.

use opentelemetry_sdk::trace::{Sampler, SpanLimits};
use otlp_export::{AttributeLimits, SpanBounds};

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
pub fn span_limits(env: &Environment) -> Result<SpanBounds> {
    let standard = SpanLimits::default();
    let AttributeLimits { count: attributes, length } = attribute_limits(env, "SPAN")?;
    let limit = |variable, standard| Ok(env.get(variable, count)?.unwrap_or(standard));
    let counts = SpanLimits {
        max_attributes_per_span: attributes,
        max_events_per_span: limit("OTEL_SPAN_EVENT_COUNT_LIMIT", standard.max_events_per_span)?,
        max_links_per_span: limit("OTEL_SPAN_LINK_COUNT_LIMIT", standard.max_links_per_span)?,
        max_attributes_per_event: limit(
            "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
            standard.max_attributes_per_event,
        )?,
        max_attributes_per_link: limit(
            "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
            standard.max_attributes_per_link,
        )?,
    };
    Ok(SpanBounds { counts, value_length: length })
}

/// The limits of `SPAN` or `LOGRECORD`, or else those for both.
pub fn attribute_limits(env: &Environment, item: &str) -> Result<AttributeLimits> {
    let read = |limit: &str| -> Result<Option<u32>> {
        match env.get(&format!("OTEL_{item}_ATTRIBUTE_{limit}"), count)? {
            Some(own) => Ok(Some(own)),
            None => env.get(&format!("OTEL_ATTRIBUTE_{limit}"), count),
        }
    };
    let length = read("VALUE_LENGTH_LIMIT")?.and_then(|length| usize::try_from(length).ok());
    Ok(AttributeLimits {
        count: read("COUNT_LIMIT")?.unwrap_or(SpanLimits::default().max_attributes_per_span),
        length: length.unwrap_or(SpanBounds::default().value_length),
    })
}
