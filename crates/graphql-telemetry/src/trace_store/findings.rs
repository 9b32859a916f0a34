//! What is wrong with a trace, in sentences.

use std::collections::BTreeMap;

use opentelemetry::SpanId;
use opentelemetry_semantic_conventions::attribute as attr;
use serde::Serialize;
use serde_json::Value;

use super::{LogView, SpanView, view::text};
use crate::{attribute, graphql::OPERATION_NAMES};

/// So many statements with the same text below one field are an N+1.
const MIN_REPEATED: usize = 3;
/// Seconds of a wait for a connection or a worker that are worth a sentence.
const MIN_WAIT: f64 = 0.010;
/// Seconds of a statement that are worth a sentence, if it took most of its operation.
const MIN_STATEMENT: f64 = 0.050;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What kind of trouble it is.
    pub kind: FindingKind,
    /// Where.
    #[serde(serialize_with = "text")]
    pub span_id: SpanId,
    /// A sentence.
    pub message: String,
}

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The service failed.
    Error,
    /// A poll was slow.
    SlowPoll,
    /// The task was woken, and waited long for a worker.
    LateSchedule,
    /// The same statement was executed again and again below one field.
    NPlusOne,
    /// It waited for a connection.
    PoolWait,
    /// One statement took most of the time.
    SlowStatement,
}

/// What is wrong with a trace that has these.
pub(super) fn findings(spans: &[SpanView], logs: &[LogView]) -> Vec<Finding> {
    let mut all = Vec::new();
    for span in spans {
        let message = if OPERATION_NAMES.contains(&&*span.name) {
            all.extend(slow_poll(span, logs));
            all.extend(late_schedule(span));
            all.extend(slow_statement(span, spans));
            error(span, spans)
        } else if span.name == "db.pool.acquire" {
            pool_wait(span)
        } else {
            n_plus_one(span, spans)
        };
        all.extend(message);
    }
    all
}

fn finding(kind: FindingKind, span: &SpanView, message: String) -> Finding {
    Finding { kind, span_id: span.span_id, message }
}

/// The exception that made an operation fail, where it arose.
fn error(operation: &SpanView, spans: &[SpanView]) -> Option<Finding> {
    if !operation.error {
        return None;
    }
    let mut exceptions = spans
        .iter()
        .filter_map(|span| Some((span, span.events.iter().find(|it| it.name == "exception")?)));
    // The innermost.
    if let Some((span, exception)) = exceptions.next_back() {
        let message = exception.attributes.get(attr::EXCEPTION_MESSAGE).and_then(Value::as_str);
        let message = format!("{} failed: {}", span.name, message.unwrap_or("an exception"));
        return Some(finding(FindingKind::Error, span, message));
    }
    let code = operation.attributes.get(attr::ERROR_TYPE).and_then(Value::as_str);
    let message = format!("the operation failed: {}", code.unwrap_or("an error"));
    Some(finding(FindingKind::Error, operation, message))
}

fn slow_poll(operation: &SpanView, logs: &[LogView]) -> Option<Finding> {
    let count = integer(operation, "tokio.task.slow_polls").filter(|count| *count > 0)?;
    let longest = milliseconds(number(operation, "tokio.task.longest_poll")?);
    let of_operation = logs.iter().filter(|log| log.name == "tokio.slow_poll");
    let mut field = of_operation
        .filter_map(|log| log.attributes.get(attribute::FIELD_COORDINATE).and_then(Value::as_str));
    let place = field.next_back().map(|field| format!(" in {field}")).unwrap_or_default();
    let message = if count == 1 {
        format!("a poll held the worker {longest}{place}")
    } else {
        format!("{count} polls held the worker, the longest {longest}{place}")
    };
    Some(finding(FindingKind::SlowPoll, operation, message))
}

fn late_schedule(operation: &SpanView) -> Option<Finding> {
    let scheduled = number(operation, "tokio.task.scheduled").filter(|time| *time >= MIN_WAIT)?;
    let message = format!("woken, and waited {} for a worker", milliseconds(scheduled));
    Some(finding(FindingKind::LateSchedule, operation, message))
}

fn slow_statement(operation: &SpanView, spans: &[SpanView]) -> Option<Finding> {
    let statements = spans.iter().filter(|span| query(span).is_some());
    let slowest = statements.max_by(|a, b| a.duration.total_cmp(&b.duration))?;
    if slowest.duration < MIN_STATEMENT || slowest.duration < operation.duration / 2.0 {
        return None;
    }
    // Of a task that was busy meanwhile, the rows were there and nobody read them.
    if number(operation, "tokio.task.idle").is_some_and(|idle| idle < slowest.duration / 2.0) {
        return None;
    }
    let (took, all) = (milliseconds(slowest.duration), milliseconds(operation.duration));
    let message = format!("{} took {took} of {all}", slowest.name);
    Some(finding(FindingKind::SlowStatement, slowest, message))
}

fn pool_wait(span: &SpanView) -> Option<Finding> {
    let waited = milliseconds(span.duration);
    let message = if span.error {
        format!("waited {waited} for a connection, and got none")
    } else {
        format!("waited {waited} for a connection")
    };
    (span.error || span.duration >= MIN_WAIT).then(|| finding(FindingKind::PoolWait, span, message))
}

fn n_plus_one(field: &SpanView, spans: &[SpanView]) -> Option<Finding> {
    field.attributes.get(attribute::FIELD_COORDINATE)?;
    let mut texts = BTreeMap::<_, usize>::new();
    for span in spans.iter().filter(|span| span.parent_span_id == Some(field.span_id)) {
        *texts.entry(query(span)).or_default() += 1;
    }
    texts.remove(&None);
    if texts.values().all(|count| *count < MIN_REPEATED) {
        return None;
    }
    let all: usize = texts.values().sum();
    let message = format!("{all} statements below {}: N+1", field.name);
    Some(finding(FindingKind::NPlusOne, field, message))
}

/// The text of a statement's span.
fn query(span: &SpanView) -> Option<&str> {
    span.attributes.get(attr::DB_QUERY_TEXT)?.as_str()
}

fn number(span: &SpanView, key: &str) -> Option<f64> {
    span.attributes.get(key)?.as_f64()
}

fn integer(span: &SpanView, key: &str) -> Option<i64> {
    span.attributes.get(key)?.as_i64()
}

fn milliseconds(seconds: f64) -> String {
    let milliseconds = seconds * 1e3;
    if milliseconds < 10.0 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{milliseconds:.0} ms")
    }
}
