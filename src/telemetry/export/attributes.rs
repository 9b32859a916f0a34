//! The attributes with which spans begin.

use opentelemetry::KeyValue;

use super::protobuf::Writer;

/// The field of `Span` that holds attributes.
const FIELD: u8 = 9;

/// Takes the attributes of a span.
pub enum Attributes<'a> {
    /// To be sent as they are, up to a limit.
    Written(&'a mut Written, u32),
    /// For the SDK, which has the same limit.
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
}

impl Fixed {
    /// These.
    #[must_use]
    pub fn new(values: Vec<KeyValue>) -> Self {
        let mut written = Written::default();
        let mut attributes = Attributes::Written(&mut written, u32::MAX);
        for value in &values {
            attributes.add(value);
        }
        Self { values, written }
    }
}

impl Attributes<'_> {
    /// A text.
    pub fn text(&mut self, key: &'static str, text: &str) {
        match self {
            Self::Written(to, limit) => {
                to.one(*limit, |to| to.attribute(FIELD, key, |to| to.string(text)));
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
            Self::Written(to, limit) => {
                to.one(*limit, |to| to.attributes(FIELD, std::iter::once(attribute)));
            }
            Self::Kept(to) => to.push(attribute.clone()),
        }
    }

    /// Those of many spans.
    pub fn fixed(&mut self, fixed: &Fixed) {
        match self {
            Self::Written(to, limit) if *limit - to.count >= fixed.written.count => {
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
