//! The attributes with which spans begin, and how much of a text is recorded.

use std::borrow::Cow;

use opentelemetry::{Array, KeyValue, Value};

use super::protobuf::Writer;

/// The field of `Span` that holds attributes.
const FIELD: u8 = 9;

/// The characters of a text that a client chose, such as a path: these are in each request, and
/// any of them may be as long as a request may be.
const CLIENT_TEXT: usize = 1024;

/// The part of a client's text that is recorded.
#[must_use]
pub fn client_text(text: &str) -> &str {
    cut(text, CLIENT_TEXT)
}

/// The first `limit` characters.
#[must_use]
pub fn cut(text: &str, limit: usize) -> &str {
    // No character has less than a byte.
    if text.len() <= limit {
        return text;
    }
    text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end])
}

/// A value with its texts cut to `limit` characters.
#[must_use]
pub fn cut_value(value: &Value, limit: usize) -> Cow<'_, Value> {
    match value {
        Value::String(text) if text.as_str().len() > limit => {
            Cow::Owned(Value::String(cut(text.as_str(), limit).to_owned().into()))
        }
        Value::Array(Array::String(texts)) if texts.iter().any(|it| it.as_str().len() > limit) => {
            let cut =
                |text: &opentelemetry::StringValue| cut(text.as_str(), limit).to_owned().into();
            Cow::Owned(Value::Array(Array::String(texts.iter().map(cut).collect())))
        }
        value => Cow::Borrowed(value),
    }
}

/// How many attributes there are at most, and how many characters a text has.
#[derive(Clone, Copy, Debug)]
pub struct AttributeLimits {
    /// Attributes.
    pub count: u32,
    /// Characters.
    pub length: usize,
}

impl AttributeLimits {
    /// No limits.
    pub const NONE: Self = Self { count: u32::MAX, length: usize::MAX };
}

/// Takes the attributes of a span.
pub enum Attributes<'a> {
    /// To be sent as they are, up to a limit.
    Written(&'a mut Written, AttributeLimits),
    /// For the SDK, which limits their number.
    Kept(&'a mut Vec<KeyValue>),
}

/// Attributes in the form in which they are sent, the last one first.
#[derive(Debug, Default)]
pub struct Written {
    /// Fields of a `Span`.
    pub fields: Writer,
    /// How many there are.
    pub count: u32,
    /// How many were too many.
    pub dropped: u32,
}

/// Attributes that are the same for many spans, so that they need not be written each time.
pub struct Fixed {
    values: Vec<KeyValue>,
    written: Written,
    /// The bytes of the longest text.
    longest: usize,
}

impl Fixed {
    /// These.
    #[must_use]
    pub fn new(values: Vec<KeyValue>) -> Self {
        let mut written = Written::default();
        let mut attributes = Attributes::Written(&mut written, AttributeLimits::NONE);
        for value in &values {
            attributes.add(value);
        }
        let length = |value: &KeyValue| value.value.as_str().len();
        let longest = values.iter().map(length).max().unwrap_or_default();
        Self { values, written, longest }
    }
}

impl Attributes<'_> {
    /// A text.
    pub fn text(&mut self, key: &'static str, text: &str) {
        match self {
            Self::Written(to, limits) => {
                let text = cut(text, limits.length);
                to.one(limits.count, |to| to.attribute(FIELD, key, |to| to.string(text)));
            }
            Self::Kept(to) => to.push(KeyValue::new(key, text.to_owned())),
        }
    }

    /// An integer.
    pub fn integer(&mut self, key: &'static str, integer: impl Into<i64>) {
        self.add(&KeyValue::new(key, integer.into()));
    }

    /// Anything.
    pub fn add(&mut self, attribute: &KeyValue) {
        match self {
            Self::Written(to, limits) => {
                let value = cut_value(&attribute.value, limits.length);
                let key = attribute.key.as_str();
                to.one(limits.count, |to| to.attribute(FIELD, key, |to| to.value(&value)));
            }
            Self::Kept(to) => to.push(attribute.clone()),
        }
    }

    /// Those of many spans.
    pub fn fixed(&mut self, fixed: &Fixed) {
        match self {
            Self::Written(to, limits)
                if limits.count - to.count >= fixed.written.count
                    && limits.length >= fixed.longest =>
            {
                to.fields.raw(fixed.written.fields.written());
                to.count += fixed.written.count;
            }
            _ => fixed.values.iter().for_each(|value| self.add(value)),
        }
    }
}

impl Written {
    fn one(&mut self, limit: u32, write: impl FnOnce(&mut Writer)) {
        if self.count < limit {
            write(&mut self.fields);
            self.count += 1;
        } else {
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters_and_not_bytes() {
        for (text, limit, expected) in [
            ("", 0, ""),
            ("abc", 0, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "abc"),
            ("äöü", 3, "äöü"),
            ("äöüß", 3, "äöü"),
            ("a😀b", 2, "a😀"),
        ] {
            assert_eq!(cut(text, limit), expected);
        }
    }

    #[test]
    fn cuts_each_text_of_an_array() {
        let array = Value::Array(Array::String(vec!["long".into(), "x".into()]));
        let expected = Value::Array(Array::String(vec!["lo".into(), "x".into()]));
        assert_eq!(*cut_value(&array, 2), expected);
        assert_eq!(*cut_value(&Value::from("long"), 2), Value::from("lo"));
        assert_eq!(*cut_value(&Value::from(12345), 2), Value::from(12345));
    }

    #[test]
    fn clients_texts_are_cut() {
        assert_eq!(client_text(&"x".repeat(60_000)).len(), CLIENT_TEXT);
    }
}
