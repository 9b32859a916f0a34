//! The size of an answer, before it is written.

use async_graphql::Value;

/// How many bytes `value` takes as JSON, without what escapes in its strings add.
#[must_use]
pub fn json_size(value: &Value) -> usize {
    /// Quotes and a comma.
    const AROUND: usize = 3;
    match value {
        Value::Null | Value::Boolean(_) => 5,
        Value::Number(number) => number.to_string().len() + 1,
        Value::String(text) => text.len() + AROUND,
        Value::Enum(name) => name.len() + AROUND,
        Value::Binary(bytes) => bytes.len() + AROUND,
        Value::List(items) => items.iter().map(json_size).sum::<usize>() + AROUND,
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| key.len() + AROUND + json_size(value));
            fields.sum::<usize>() + AROUND
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_size_is_about_what_is_written() {
        let json = json!({ "books": [{ "title": "Emma", "pages": 474, "isbn": null }, []] });
        let written = json.to_string().len();
        let size = json_size(&Value::from_json(json).unwrap());
        assert!((written..written + written / 4).contains(&size), "{size} for {written}");
    }
}
