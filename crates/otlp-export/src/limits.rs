//! How many attributes an item has, and how much of a text is recorded. The SDK limits numbers only.

use std::borrow::Cow;

use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::trace::SpanLimits;

/// Returns the first `limit` characters.
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
fn cut_value(value: &Value, limit: usize) -> Cow<'_, Value> {
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

/// Cuts the texts of `attributes`, and returns how many of them were beyond the limit and are removed.
pub(crate) fn limit(attributes: &mut Vec<KeyValue>, limits: AttributeLimits) -> u32 {
    let count = usize::try_from(limits.count).unwrap_or(usize::MAX);
    let removed = attributes.len().saturating_sub(count);
    attributes.truncate(count);
    for attribute in attributes {
        if let Cow::Owned(cut) = cut_value(&attribute.value, limits.length) {
            attribute.value = cut;
        }
    }
    u32::try_from(removed).unwrap_or(u32::MAX)
}

/// How much a span holds.
#[derive(Clone, Copy, Debug)]
pub struct SpanBounds {
    /// Numbers of attributes, events and links.
    pub counts: SpanLimits,
    /// Characters of a text.
    pub value_length: usize,
}

impl SpanBounds {
    /// The limits of its attributes.
    #[must_use]
    pub const fn attributes(&self) -> AttributeLimits {
        AttributeLimits { count: self.counts.max_attributes_per_span, length: self.value_length }
    }
}

impl Default for SpanBounds {
    /// The SDK's numbers, and 16,384 characters: the specification has no limit, and memory has one.
    fn default() -> Self {
        Self { counts: SpanLimits::default(), value_length: 16 * 1024 }
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
    fn removes_what_is_beyond_the_limit() {
        let mut attributes = ["long", "x", "y"].map(|text| KeyValue::new("a", text)).to_vec();
        assert_eq!(limit(&mut attributes, AttributeLimits { count: 2, length: 2 }), 1);
        assert_eq!(attributes, ["lo", "x"].map(|text| KeyValue::new("a", text)));
        assert_eq!(limit(&mut attributes, AttributeLimits::NONE), 0);
    }
}
