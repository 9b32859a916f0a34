//! The runtime, watched by the crate `runtime-insight`, and what is recorded of it by root field: slow
//! polls, and where the time of operations went.

use std::sync::{Arc, LazyLock};

use metrics::{Counter, Histogram, Label};
use opentelemetry::{KeyValue, trace::SpanRef};
use runtime_insight::{Builder, Operation, RateLimiter, Task, TaskTime, watchdog::SlowPoll};
use tracing::warn;

use super::{
    attribute,
    catalog::{SLOW_POLLS, TASK_TIME},
    handle_cache::HandleCache,
    slow_polls as recent, totals,
};

/// The root field of what is no operation.
const RUNTIME: &str = "_RUNTIME";

/// Returns a builder of the runtime that a service runs in: its slow polls are counted by root field, and
/// logged with task, field and trace while they last.
#[must_use]
pub fn builder() -> Builder {
    start_counter(RUNTIME);
    Builder::new().on_slow_poll(report)
}

/// Counts a slow poll, keeps it for the admin API, and logs it, ten a second at most.
fn report(slow: &SlowPoll<'_>) {
    static LIMITER: RateLimiter = RateLimiter::new(10.0, 10.0);
    totals::SLOW_POLLS.increment();
    recent::record(slow);
    let operation = slow.operation();
    slow_polls().get(operation.map_or(RUNTIME, |operation| operation.group)).increment(1);
    let Some(suppressed) = LIMITER.admit() else { return };
    let (duration, section) = (slow.duration(), slow.section());
    // So that the line and the record name the operation's span.
    let _in_span = slow.context().attach();
    warn!(
        name: "tokio.slow_poll",
        {
            tokio.task.name = slow.task().map(Task::name),
            tokio.task.operation = operation.map(|operation: &Operation| operation.name),
            tokio.task.spawned_at = slow.spawned_at().map(ToString::to_string),
            tokio.worker = slow.worker().to_string(),
            tokio.poll.duration = duration.as_secs_f64(),
            tokio.poll.ended = slow.ended(),
            tokio.poll.suppressed = suppressed,
            graphql.selection.field.coordinate = section.map(|section| section.name),
            graphql.selection.field.span_id = section.map(|it| it.span.span_id().to_string())
        },
        "slow poll: worker blocked for {duration:.1?}{}",
        if slow.ended() { "" } else { " so far" },
    );
}

/// Starts the counter of a root field at zero, so that the first slow poll is a rise.
pub fn start_counter(root_field: &'static str) {
    slow_polls().get(root_field).increment(0);
}

fn slow_polls() -> &'static HandleCache<&'static str, Counter> {
    static SLOW: LazyLock<HandleCache<&'static str, Counter>> = LazyLock::new(|| {
        HandleCache::new(|root_field: &&'static str| {
            SLOW_POLLS.counter(vec![Label::from_static_parts(attribute::ROOT_FIELD, root_field)])
        })
    });
    &SLOW
}

/// Records where the time of an operation's task went, on its span and by its root field.
pub fn record_task_time(time: &TaskTime, span: &SpanRef<'_>, root_field: &'static str) {
    static TIMES: LazyLock<HandleCache<&'static str, Arc<[Histogram; 3]>>> = LazyLock::new(|| {
        HandleCache::new(|root_field| {
            Arc::new(["busy", "scheduled", "idle"].map(|state| {
                TASK_TIME.histogram(vec![
                    Label::from_static_parts(attribute::TASK_STATE, state),
                    Label::from_static_parts(attribute::ROOT_FIELD, root_field),
                ])
            }))
        })
    });
    if span.is_recording() {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        span.set_attributes([
            KeyValue::new("tokio.task.polls", count(time.polls)),
            KeyValue::new("tokio.task.busy", time.busy.as_secs_f64()),
            KeyValue::new("tokio.task.scheduled", time.scheduled.as_secs_f64()),
            KeyValue::new("tokio.task.idle", time.idle.as_secs_f64()),
            KeyValue::new("tokio.task.slow_polls", count(time.slow_polls)),
            KeyValue::new("tokio.task.longest_poll", time.longest_poll.as_secs_f64()),
        ]);
    }
    let states = TIMES.get(root_field);
    for (state, time) in states.iter().zip([time.busy, time.scheduled, time.idle]) {
        state.record(time.as_secs_f64());
    }
}
