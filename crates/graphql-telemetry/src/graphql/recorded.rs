//! Operations among the events of a recording of the runtime.

use std::time::Duration;

use dial9::{
    Dial9Handle,
    core::{Encodable, ThreadLocalEncoder, clock_monotonic_ns},
    format::{InternedString, TraceEvent},
};
use tokio::task;

/// An operation that has ended, among the events of a recording.
pub struct RecordedOperation {
    /// Such as `query Query.books`.
    pub name: &'static str,
    /// Its trace.
    pub trace_id: String,
    /// How long ago it began.
    pub duration: Duration,
    /// The code of its error, if there is one.
    pub error: &'static str,
}

/// Records an operation, which is only then made, if there is a recording.
pub fn record_operation(operation: impl FnOnce() -> RecordedOperation) {
    Dial9Handle::current().record_event_with(operation);
}

#[derive(TraceEvent)]
#[traceevent(name = "GraphqlOperation")]
struct OperationEvent<'a> {
    #[traceevent(timestamp)]
    timestamp_ns: u64,
    name: InternedString,
    /// The number by which the events of polls and wakes know its task.
    task_id: u64,
    trace_id: &'a str,
    error: InternedString,
    #[traceevent(unit = "ns", kind = "gauge")]
    duration_ns: u64,
}

impl Encodable for RecordedOperation {
    fn encode(&self, encoder: &mut ThreadLocalEncoder<'_>) {
        let duration_ns = u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX);
        let (name, error) = (encoder.intern_string(self.name), encoder.intern_string(self.error));
        encoder.encode(&OperationEvent {
            timestamp_ns: clock_monotonic_ns().saturating_sub(duration_ns),
            name,
            task_id: task::try_id().and_then(|id| id.to_string().parse().ok()).unwrap_or(0),
            trace_id: &self.trace_id,
            error,
            duration_ns,
        });
    }
}
