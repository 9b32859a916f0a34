//! Log records.

use opentelemetry::logs::AnyValue;
use opentelemetry_sdk::logs::SdkLogRecord;

use super::Writer;
use crate::telemetry::export::lines::event_name;

/// The content of a `LogRecord`.
pub fn write(to: &mut Writer, record: &SdkLogRecord) {
    to.text(12, record.event_name().map_or("", event_name));
    if let Some(time) = record.observed_timestamp() {
        to.time(11, time);
    }
    if let Some(trace) = record.trace_context() {
        to.bytes(10, &trace.span_id.to_bytes());
        to.bytes(9, &trace.trace_id.to_bytes());
        to.flags(8, trace.trace_flags.unwrap_or_default().to_u8().into());
    }
    for (key, value) in record.attributes_iter() {
        match value {
            AnyValue::String(text) => to.text_attribute(6, key.as_str(), text.as_str()),
            _ => to.attribute(6, key.as_str(), |inner| any(inner, value)),
        }
    }
    if let Some(body) = record.body() {
        to.message(5, |inner| any(inner, body));
    }
    to.text(3, record.severity_text().unwrap_or_default());
    if let Some(severity) = record.severity_number() {
        // The API counts as the protocol does: from 1, `Trace`, to 24, `Fatal4`.
        to.count(2, severity as u32);
    }
    if let Some(time) = record.timestamp() {
        to.time(1, time);
    }
}

/// The content of an `AnyValue`.
fn any(to: &mut Writer, value: &AnyValue) {
    match value {
        AnyValue::Int(value) => to.integer(*value),
        AnyValue::Double(value) => to.float(*value),
        AnyValue::String(value) => to.string(value.as_str()),
        AnyValue::Boolean(value) => to.boolean(*value),
        AnyValue::Bytes(value) => to.bytes(7, value),
        AnyValue::ListAny(values) => to.array(values, any),
        AnyValue::Map(values) => to.message(6, |map| {
            for (key, value) in values.iter() {
                map.attribute(1, key.as_str(), |inner| any(inner, value));
            }
        }),
        // There are no others, but there may be some day.
        other => to.string(&format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        time::{Duration, UNIX_EPOCH},
    };

    use opentelemetry::{
        logs::{LogRecord, Logger, LoggerProvider, Severity},
        trace::{SpanId, TraceFlags, TraceId},
    };
    use opentelemetry_proto::tonic::logs::v1 as proto;
    use opentelemetry_sdk::logs::SdkLoggerProvider;
    use prost::Message;

    use super::*;

    /// Has all that a record can have, if `full`.
    fn record(full: bool) -> SdkLogRecord {
        let mut record = SdkLoggerProvider::builder().build().logger("").create_log_record();
        record.set_observed_timestamp(UNIX_EPOCH + Duration::from_nanos(7));
        if full {
            record.set_timestamp(UNIX_EPOCH + Duration::from_secs(3));
            record.set_event_name("http.access");
            record.set_severity_number(Severity::Error3);
            record.set_severity_text("ERROR");
            record.set_trace_context(TraceId::from(5), SpanId::from(6), Some(TraceFlags::SAMPLED));
            record.set_body("said".into());
            let map = HashMap::from([("inner".into(), AnyValue::Boolean(false))]);
            let list = vec![AnyValue::Int(0), AnyValue::String("".into())];
            record.add_attribute("int", -3);
            record.add_attribute("double", -0.5);
            record.add_attribute("string", "text");
            record.add_attribute("bytes", AnyValue::Bytes(Box::new(vec![1, 2])));
            record.add_attribute("list", AnyValue::ListAny(Box::new(list)));
            record.add_attribute("map", AnyValue::Map(Box::new(map)));
        }
        record
    }

    fn written(record: &SdkLogRecord) -> proto::LogRecord {
        let mut writer = Writer::default();
        write(&mut writer, record);
        let mut decoded = proto::LogRecord::decode(writer.written()).unwrap();
        // In which order they are says nothing.
        decoded.attributes.reverse();
        decoded
    }

    #[test]
    fn it_is_what_opentelemetry_makes_of_it() {
        for full in [true, false] {
            let record = record(full);
            assert_eq!(written(&record), proto::LogRecord::from(&record));
        }
    }

    #[test]
    fn an_event_without_a_name_is_not_called_after_its_place() {
        let mut record = record(false);
        record.set_event_name("event src/main.rs:7");
        assert_eq!(written(&record).event_name, "log");
    }
}
