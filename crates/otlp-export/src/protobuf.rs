//! Protocol Buffers, as far as OTLP needs them, without a copy of what is encoded and without an
//! allocation for each part of it.

pub mod span;

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

/// What a new buffer has room for: a span without long texts.
const ROOM: usize = 1024;

/// Writes from the last byte to the first, since the length of a message stands before it: so it
/// is known by then, and nothing has to be measured beforehand or moved afterwards. **Fields, and
/// what is repeated, are to be written in reverse.**
#[derive(Debug, Default)]
pub struct Writer {
    /// Written from `start` on.
    bytes: Vec<u8>,
    start: usize,
}

impl Writer {
    /// What was written.
    pub fn written(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.start = self.bytes.len();
    }

    /// Bytes as they are.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// So many bytes before what is written, to be written.
    #[inline]
    fn room(&mut self, length: usize) -> &mut [u8] {
        if self.start < length {
            self.grow(length);
        }
        let end = self.start;
        self.start -= length;
        &mut self.bytes[self.start..end]
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let written = self.written().len();
        let mut bytes = vec![0; (2 * (written + more)).max(ROOM)];
        let start = bytes.len() - written;
        bytes[start..].copy_from_slice(self.written());
        (self.bytes, self.start) = (bytes, start);
    }

    // Most are tags and lengths that are known to the compiler, which then writes one byte or two.
    #[expect(clippy::inline_always, reason = "else each is a call")]
    #[inline(always)]
    fn varint(&mut self, value: u64) {
        let [low, ..] = value.to_le_bytes();
        match value {
            // Most are.
            ..0x80 => self.room(1)[0] = low,
            0x80..0x4000 => self.raw(&[low | 0x80, (value >> 7).to_le_bytes()[0]]),
            _ => self.long_varint(value),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self, mut value: u64) {
        let (mut bytes, mut length) = ([0; 10], 0);
        while value >= 0x80 {
            bytes[length] = value.to_le_bytes()[0] | 0x80;
            value >>= 7;
            length += 1;
        }
        bytes[length] = value.to_le_bytes()[0];
        self.raw(&bytes[..=length]);
    }

    #[inline]
    fn tag(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    /// A message, whose content `write` writes.
    #[inline]
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let before = self.written().len();
        write(self);
        self.head(field, self.written().len() - before);
    }

    /// What stands before a message of so many bytes.
    #[inline]
    pub fn head(&mut self, field: u32, length: usize) {
        self.varint(length as u64);
        self.tag(field, DELIMITED);
    }

    /// Text or bytes, be they empty or not.
    #[expect(clippy::inline_always, reason = "most are short texts of attributes")]
    #[inline(always)]
    pub fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.raw(bytes);
        self.head(field, bytes.len());
    }

    /// An id.
    #[inline]
    pub fn id<const N: usize>(&mut self, field: u32, id: [u8; N]) {
        // A length that is known to the compiler is no call for a copy.
        self.raw(&id);
        self.head(field, N);
    }

    /// A text, unless it is empty.
    pub fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(field, text.as_bytes());
        }
    }

    /// A number, be it zero or not.
    #[inline]
    pub fn number(&mut self, field: u32, number: u64) {
        self.varint(number);
        self.tag(field, VARINT);
    }

    /// How many, unless none.
    pub fn count(&mut self, field: u32, count: u32) {
        if count != 0 {
            self.number(field, count.into());
        }
    }

    /// Flags, unless none is set.
    #[inline]
    pub fn flags(&mut self, field: u32, flags: u32) {
        if flags != 0 {
            self.raw(&flags.to_le_bytes());
            self.tag(field, FIXED32);
        }
    }

    /// A time, unless it is the beginning of time or before.
    pub fn time(&mut self, field: u32, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs().checked_mul(1_000_000_000);
        let nanoseconds = seconds.and_then(|all| all.checked_add(since.subsec_nanos().into()));
        if let Some(nanoseconds @ 1..) = nanoseconds {
            self.raw(&nanoseconds.to_le_bytes());
            self.tag(field, FIXED64);
        }
    }

    fn double(&mut self, field: u32, number: f64) {
        self.raw(&number.to_le_bytes());
        self.tag(field, FIXED64);
    }

    /// Attributes.
    pub fn attributes<'a>(
        &mut self,
        field: u8,
        attributes: impl DoubleEndedIterator<Item = &'a KeyValue>,
    ) {
        for KeyValue { key, value, .. } in attributes.rev() {
            self.attribute(field, key.as_str(), |inner| inner.value(value));
        }
    }

    /// An attribute, whose value `write` writes. `field` is below 16.
    #[inline]
    pub fn attribute(&mut self, field: u8, key: &str, write: impl FnOnce(&mut Self)) {
        let before = self.written().len();
        write(self);
        let value = self.written().len() - before;
        // With the tags and lengths of key and value, if one byte is enough for each length.
        let whole = 4 + key.len() + value;
        if whole >= 0x80 || key.is_empty() {
            self.head(2, value);
            self.text(1, key);
            self.head(field.into(), self.written().len() - before);
            return;
        }
        let [whole, key_length, value] =
            [whole, key.len(), value].map(|length| length.to_le_bytes()[0]);
        self.raw(&[0x12, value]);
        self.raw(key.as_bytes());
        self.raw(&[field << 3 | 2, whole, 0x0A, key_length]);
    }

    /// The content of an `AnyValue`.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.boolean(*value),
            Value::I64(value) => self.integer(*value),
            Value::F64(value) => self.float(*value),
            Value::String(value) => self.string(value.as_str()),
            Value::Array(Array::Bool(values)) => self.array(values, |w, value| w.boolean(*value)),
            Value::Array(Array::I64(values)) => self.array(values, |w, value| w.integer(*value)),
            Value::Array(Array::F64(values)) => self.array(values, |w, value| w.float(*value)),
            Value::Array(Array::String(values)) => {
                self.array(values, |w, value| w.string(value.as_str()));
            }
            // There are no others, but there may be some day.
            other => self.string(&other.as_str()),
        }
    }

    /// An `AnyValue` that is true or false.
    #[inline]
    pub fn boolean(&mut self, value: bool) {
        self.number(2, value.into());
    }

    /// An `AnyValue` that is an integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        self.number(3, value.cast_unsigned());
    }

    /// An `AnyValue` that is a floating-point number.
    #[inline]
    pub fn float(&mut self, value: f64) {
        self.double(4, value);
    }

    /// An `AnyValue` that is a text.
    #[inline]
    pub fn string(&mut self, value: &str) {
        self.bytes(1, value.as_bytes());
    }

    /// An `AnyValue` that is an array, whose values `write` writes.
    pub fn array<T>(&mut self, values: &[T], write: impl Fn(&mut Self, &T)) {
        self.message(5, |array| {
            for value in values.iter().rev() {
                array.message(1, |element| write(element, value));
            }
        });
    }

    /// Who made what follows, and in which version of the conventions, as `ScopeSpans` and
    /// `ScopeLogs` have it.
    pub fn scope(&mut self, scope: &InstrumentationScope, name: &str) {
        self.text(3, scope.schema_url().unwrap_or_default());
        self.message(1, |inner| {
            inner.attributes(3, scope.attributes().collect::<Vec<_>>().into_iter());
            inner.text(2, scope.version().unwrap_or_default());
            inner.text(1, name);
        });
    }
}
