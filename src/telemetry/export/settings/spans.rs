//! Settings of spans.

use opentelemetry_sdk::trace::{Sampler, SpanLimits};

use super::{Environment, Result, values::count};

/// Which traces are recorded.
pub fn sampler(env: &Environment) -> Result<Sampler> {
    let ratio = env.get("OTEL_TRACES_SAMPLER_ARG", |text| match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("must be a number from 0 to 1"),
    })?;
    let by_ratio = || Sampler::TraceIdRatioBased(ratio.unwrap_or(1.0));
    let sampler = env.get("OTEL_TRACES_SAMPLER", |name| {
        Ok(match name {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => by_ratio(),
            "parentbased_always_on" => Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
            "parentbased_always_off" => Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
            "parentbased_traceidratio" => Sampler::ParentBased(Box::new(by_ratio())),
            _ => {
                return Err("must be always_on, always_off or traceidratio, or one of them \
                            behind parentbased_");
            }
        })
    })?;
    Ok(sampler.unwrap_or_else(|| Sampler::ParentBased(Box::new(Sampler::AlwaysOn))))
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
