//! Figures of all statements since the start, by their summary.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use foldhash::fast::RandomState;
use opentelemetry::{
    StringValue, TraceId, Value,
    trace::{SpanKind, Status},
};
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_semantic_conventions::attribute as attr;
use serde::Serialize;

use super::view::text;
use crate::latency::{Latencies, LatencySummary};

/// Summaries that are counted. They are of the program's own statements, and far fewer.
const MAX_SUMMARIES: usize = 1000;
/// Statements that are shown.
const SHOWN: usize = 200;

/// A statement, by its span.
pub(super) struct Statement<'a> {
    summary: &'a str,
    text: &'a str,
    rows: u64,
    failed: bool,
    duration: Duration,
}

impl<'a> Statement<'a> {
    /// Of a span, if it is of a statement.
    pub fn of(span: &'a SpanData) -> Option<Self> {
        if span.span_kind != SpanKind::Client {
            return None;
        }
        let (mut summary, mut text, mut rows) = (None, "", 0);
        for attribute in &span.attributes {
            match (attribute.key.as_str(), &attribute.value) {
                (attr::DB_QUERY_SUMMARY, Value::String(value)) => summary = Some(value.as_str()),
                (attr::DB_QUERY_TEXT, Value::String(value)) => text = StringValue::as_str(value),
                (attr::DB_RESPONSE_RETURNED_ROWS, Value::I64(count)) => {
                    rows = u64::try_from(*count).unwrap_or(0);
                }
                _ => {}
            }
        }
        let duration = span.end_time.duration_since(span.start_time).unwrap_or_default();
        let failed = matches!(span.status, Status::Error { .. });
        Some(Self { summary: summary?, text, rows, failed, duration })
    }
}

/// The statements since the start.
#[derive(Default)]
pub(super) struct Statements(RwLock<HashMap<Box<str>, Arc<Known>, RandomState>>);

#[derive(Default)]
struct Known {
    durations: Latencies,
    state: Mutex<State>,
}

#[derive(Clone)]
struct State {
    text: Box<str>,
    errors: u64,
    rows: u64,
    slowest: (Duration, TraceId),
}

impl Default for State {
    fn default() -> Self {
        let slowest = (Duration::ZERO, TraceId::INVALID);
        Self { text: Box::default(), errors: 0, rows: 0, slowest }
    }
}

/// The statements with one summary. Times are in seconds.
#[derive(Clone, Debug, Serialize)]
pub struct StatementSummary {
    /// Such as `SELECT book`.
    pub summary: Box<str>,
    /// The text of one of them.
    pub text: Box<str>,
    #[serde(flatten)]
    durations: LatencySummary,
    /// How many failed.
    pub errors: u64,
    /// The rows that they returned.
    pub rows: u64,
    /// The time of all of them.
    pub total: f64,
    /// The trace of the longest, which may not be stored any more.
    #[serde(serialize_with = "text")]
    pub slowest_trace_id: TraceId,
}

impl Statements {
    pub fn record(&self, statement: &Statement<'_>, trace: TraceId) {
        let Some(known) = self.known(statement.summary) else { return };
        known.durations.record(statement.duration);
        let mut state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.errors += u64::from(statement.failed);
        state.rows += statement.rows;
        if statement.duration >= state.slowest.0 {
            state.slowest = (statement.duration, trace);
            if *state.text != *statement.text {
                state.text = statement.text.into();
            }
        }
    }

    fn known(&self, summary: &str) -> Option<Arc<Known>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(summary) {
            return Some(known.clone());
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        (known.len() < MAX_SUMMARIES).then(|| known.entry(summary.into()).or_default().clone())
    }

    pub fn summary(&self) -> Vec<StatementSummary> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = known.iter().map(|(summary, known)| known.summary(summary)).collect();
        all.sort_by(|a, b| b.total.total_cmp(&a.total));
        all.truncate(SHOWN);
        all
    }
}

impl Known {
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    fn summary(&self, summary: &str) -> StatementSummary {
        let durations = self.durations.summary();
        let State { text, errors, rows, slowest } =
            self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        StatementSummary {
            summary: summary.into(),
            text,
            durations,
            errors,
            rows,
            total: durations.mean * durations.count as f64,
            slowest_trace_id: slowest.1,
        }
    }
}
