//! Durations of spans by the monotonic clock. The SDK takes both ends of a span from the wall
//! clock: set back in between, by NTP or by hand, it has the span end before it starts.
//!
//! A span carries how far the wall clock was ahead of the monotonic one when it started, as an
//! attribute that is removed before it is exported: `SpanProcessor` has no other place for it. This
//! can go when the SDK itself measures spans by `Instant`.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

const KEY: &str = "clock.offset";

/// Two clocks cannot be read at the same time: what lies between the readings is no step.
const STEP: i64 = 1_000_000;

/// Nanoseconds from the monotonic to the wall clock, whatever the monotonic one counts from.
fn offset() -> i64 {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let origin = *ORIGIN;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    nanos(wall).saturating_sub(nanos(origin.elapsed()))
}

/// What a span carries from its start on. It is its first attribute, unless it was made with more than
/// the limit.
pub fn mark() -> KeyValue {
    KeyValue::new(KEY, offset())
}

/// Has `span` last as long as it did if the wall clock was set meanwhile, and removes its mark.
/// Returns whether it had one.
pub fn correct(span: &mut SpanData) -> bool {
    let mark = span.attributes.iter().position(|attribute| attribute.key.as_str() == KEY);
    let mark = mark.map(|index| span.attributes.remove(index).value);
    if let Some(Value::I64(started)) = mark {
        let step = offset().saturating_sub(started);
        if step.abs() >= STEP {
            let size = Duration::from_nanos(step.unsigned_abs());
            let end = if step > 0 {
                span.end_time.checked_sub(size)
            } else {
                span.end_time.checked_add(size)
            };
            span.end_time = end.unwrap_or(span.start_time);
        }
    }
    span.end_time = span.end_time.max(span.start_time);
    mark.is_some()
}

#[cfg(test)]
mod tests {
    use opentelemetry::{
        InstrumentationScope,
        trace::{SpanContext, SpanId, SpanKind, Status},
    };
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

    use super::*;

    fn span(attributes: Vec<KeyValue>, lasted: f64) -> SpanData {
        let start_time = SystemTime::now();
        let length = Duration::from_secs_f64(lasted.abs());
        let end_time = if lasted < 0.0 { start_time - length } else { start_time + length };
        SpanData {
            span_context: SpanContext::NONE,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "test".into(),
            start_time,
            end_time,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        }
    }

    fn lasted(span: &SpanData) -> f64 {
        span.end_time.duration_since(span.start_time).unwrap().as_secs_f64()
    }

    /// The mark of a span that started before the wall clock was set by so many seconds.
    fn before_a_step_of(seconds: i64) -> KeyValue {
        KeyValue::new(KEY, offset() - seconds * 1_000_000_000)
    }

    #[test]
    fn corrects_spans_across_a_step() {
        for (step, wall) in [(-3600, -3599.5), (3600, 3600.5)] {
            let one = KeyValue::new("one", 1);
            let mut span = span(vec![before_a_step_of(step), one.clone()], wall);
            assert!(correct(&mut span));
            assert!((lasted(&span) - 0.5).abs() < 0.01, "{}", lasted(&span));
            assert_eq!(span.attributes, [one]);
        }
    }

    #[test]
    fn keeps_times_where_no_clock_was_set() {
        let mut unchanged = span(vec![mark()], 0.25);
        let end = unchanged.end_time;
        assert!(correct(&mut unchanged));
        assert_eq!(unchanged.end_time, end);
    }

    #[test]
    fn no_span_ends_before_its_start() {
        let mut unmarked = span(Vec::new(), -1.0);
        assert!(!correct(&mut unmarked));
        assert_eq!(unmarked.end_time, unmarked.start_time);
    }
}
