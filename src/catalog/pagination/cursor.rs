//! Cursors: the position of a row in a sort order.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The value by which a row is sorted, before its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// Sorted by id alone.
    None,
    /// A year, a number of pages, microseconds since 1970, or a rank.
    Number(i64),
    /// A title or a name in normal form.
    Text(String),
}

/// The place of a row in an ordering.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// Names the ordering, so that a cursor is not used with another one.
    pub ordering: String,
    /// The row's sort key.
    pub key: Key,
    /// The row's id, which breaks ties.
    pub id: i64,
}

impl Cursor {
    /// The opaque form for clients. Its checksum distinguishes a mistyped or made-up cursor from
    /// a real one; it is no secret, since a cursor opens nothing that a query does not.
    #[must_use]
    pub fn encode(&self) -> String {
        let json = serde_json::to_vec(&(&self.ordering, &self.key, self.id)).unwrap_or_default();
        let mut bytes = crc32fast::hash(&json).to_be_bytes().to_vec();
        bytes.extend(json);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] wrote.
    ///
    /// # Errors
    /// [`Error::Invalid`] on argument `argument` if `text` is no cursor of this
    /// service or belongs to another ordering than `ordering`.
    pub fn decode(text: &str, ordering: &str, argument: &str) -> Result<Self> {
        let cursor =
            Self::parse(text).ok_or_else(|| Error::invalid([argument], "is not a cursor"))?;
        if cursor.ordering != ordering {
            return Err(Error::invalid(
                [argument],
                "belongs to a list with another order; start again without it",
            ));
        }
        Ok(cursor)
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (checksum, json) = bytes.split_first_chunk()?;
        if crc32fast::hash(json) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let (ordering, key, id) = serde_json::from_slice(json).ok()?;
        Some(Self { ordering, key, id })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor() -> Cursor {
        Cursor { ordering: "title".into(), key: Key::Text("emma".into()), id: 7 }
    }

    #[test]
    fn decodes_what_it_encoded() {
        for key in [Key::None, Key::Number(-750), Key::Text("紅\"樓".into())] {
            let cursor = Cursor { key, ..cursor() };
            assert_eq!(Cursor::decode(&cursor.encode(), "title", "after").unwrap(), cursor);
        }
    }

    #[test]
    fn rejects_forged_and_foreign_cursors() {
        let forged = URL_SAFE_NO_PAD.encode(br#"....["title","emma",8]"#);
        for text in ["", "x", "%%%", &forged, &cursor().encode()[1..]] {
            let error = Cursor::decode(text, "title", "after").unwrap_err();
            assert_eq!(error.to_string(), "after: is not a cursor");
        }
        let error = Cursor::decode(&cursor().encode(), "year", "after").unwrap_err();
        assert!(error.to_string().contains("another order"));
    }

    proptest! {
        #[test]
        fn decodes_any_cursor_it_encoded(
            ordering in "[a-z_]{0,10}",
            key in prop_oneof![
                Just(Key::None), any::<i64>().prop_map(Key::Number), any::<String>().prop_map(Key::Text)
            ],
            id: i64,
        ) {
            let cursor = Cursor { ordering, key, id };
            let read = Cursor::decode(&cursor.encode(), &cursor.ordering, "after");
            prop_assert_eq!(read.unwrap(), cursor);
        }

        #[test]
        fn rejects_any_other_text(text in "\\PC{0,40}|[A-Za-z0-9_-]{0,80}", json in "\\PC{0,40}") {
            prop_assert!(Cursor::decode(&text, "title", "after").is_err());
            // With a right checksum, it depends on the JSON behind it.
            let mut bytes = crc32fast::hash(json.as_bytes()).to_be_bytes().to_vec();
            bytes.extend(json.bytes());
            let _ = Cursor::decode(&URL_SAFE_NO_PAD.encode(bytes), "title", "after");
        }
    }
}
