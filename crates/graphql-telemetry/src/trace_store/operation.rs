//! What a list of operations shows of each.

use std::time::{Duration, SystemTime};

use opentelemetry::{SpanId, TraceId, Value, trace::SpanKind};
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_semantic_conventions::attribute as attr;
use serde::Serialize;

use super::view::{seconds, text, time};
use crate::{attribute, graphql::OPERATION_NAMES, text::intern};

/// An operation in figures or, where a trace has none, its root.
#[derive(Clone, Debug, Serialize)]
pub struct OperationSummary {
    /// Its trace.
    #[serde(serialize_with = "text")]
    pub trace_id: TraceId,
    /// Its span.
    #[serde(serialize_with = "text")]
    pub span_id: SpanId,
    /// When it began.
    #[serde(serialize_with = "time")]
    pub start: SystemTime,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// `query` or `mutation`; none for what is no operation, or was not understood.
    #[serde(rename = "type")]
    pub kind: Option<&'static str>,
    /// What the client calls it; the span's name for what is no operation.
    pub name: Option<Box<str>>,
    /// The coordinate of its root field.
    pub root_field: Option<&'static str>,
    /// The code of its first error.
    pub error: Option<Box<str>>,
    /// What its task's time was spent on.
    #[serde(flatten)]
    pub task: TaskFigures,
}

/// What the time of an operation's task was spent on; nothing where it was not measured.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TaskFigures {
    /// Seconds inside polls.
    pub busy: Option<f64>,
    /// Seconds woken, and waiting for a worker.
    pub scheduled: Option<f64>,
    /// Seconds waiting for something else.
    pub idle: Option<f64>,
    /// How often it was polled.
    pub polls: Option<i64>,
    /// How many of the polls were slow.
    pub slow_polls: Option<i64>,
    /// Seconds of the longest.
    pub longest_poll: Option<f64>,
}

/// Whether a span is that of an operation.
pub(super) fn is_operation(span: &SpanData) -> bool {
    span.span_kind != SpanKind::Client && OPERATION_NAMES.contains(&&*span.name)
}

impl OperationSummary {
    pub(super) fn new(span: &SpanData) -> Self {
        let mut this = Self {
            trace_id: span.span_context.trace_id(),
            span_id: span.span_context.span_id(),
            start: span.start_time,
            duration: span.end_time.duration_since(span.start_time).unwrap_or_default(),
            kind: None,
            name: None,
            root_field: None,
            error: None,
            task: TaskFigures::default(),
        };
        for attribute in &span.attributes {
            this.read(attribute.key.as_str(), &attribute.value);
        }
        if !is_operation(span) {
            this.name = Some((*span.name).into());
        }
        this
    }

    fn read(&mut self, key: &str, value: &Value) {
        let task = &mut self.task;
        match (key, value) {
            (attr::GRAPHQL_OPERATION_TYPE, value) => {
                self.kind = OPERATION_NAMES.into_iter().find(|name| *name == value.as_str());
            }
            (attr::GRAPHQL_OPERATION_NAME, Value::String(name)) => {
                self.name = Some(name.as_str().into());
            }
            // The schema has few.
            (attribute::ROOT_FIELD, Value::String(field)) => {
                self.root_field = Some(intern(field.as_str()));
            }
            (attr::ERROR_TYPE, Value::String(code)) => self.error = Some(code.as_str().into()),
            ("tokio.task.busy", Value::F64(time)) => task.busy = Some(*time),
            ("tokio.task.scheduled", Value::F64(time)) => task.scheduled = Some(*time),
            ("tokio.task.idle", Value::F64(time)) => task.idle = Some(*time),
            ("tokio.task.longest_poll", Value::F64(time)) => task.longest_poll = Some(*time),
            ("tokio.task.polls", Value::I64(count)) => task.polls = Some(*count),
            ("tokio.task.slow_polls", Value::I64(count)) => task.slow_polls = Some(*count),
            _ => {}
        }
    }

    /// Whether a poll of its task was slow.
    pub(super) fn has_slow_polls(&self) -> bool {
        self.task.slow_polls.is_some_and(|count| count > 0)
    }

    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len() + 16);
        size_of::<Self>() + text(&self.name) + text(&self.error)
    }
}
