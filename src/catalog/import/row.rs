//! From the cells of a dirty file to a book, or to the reason why not.

use csv::ByteRecord;
use encoding_rs::{Encoding, UTF_8};

use crate::catalog::{
    authors::AuthorRef,
    books::input::NewBook,
    import::{
        columns::{Columns, Field},
        names,
        values::{self, Reading},
    },
    text,
};

/// A row that can go in.
#[derive(Debug)]
pub(super) struct Row {
    pub line: u64,
    pub book: NewBook,
    pub unread: Vec<UnreadValue>,
}

/// A value of a row that cannot be read, so that its book goes in without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadValue {
    /// The field that the book lacks. For both forms of an ISBN it is [`Field::Isbn`].
    pub field: Field,
    /// What the file has for it.
    pub value: String,
}

impl Row {
    /// The row of these cells, or why it cannot go in.
    pub fn read(
        line: u64,
        record: &ByteRecord,
        columns: &Columns,
        encoding: &'static Encoding,
    ) -> Result<Self, String> {
        check_width(record, columns.names.len())?;
        let mut cells = Cells { record, columns, encoding, unread: Vec::new() };
        let book = NewBook {
            title: cells.title()?,
            authors: cells.authors()?,
            pages: cells.value(Field::Pages, values::pages),
            published_year: cells.value(Field::Year, values::year),
            language: cells.value(Field::Language, values::language),
            isbn: cells.isbn(),
        };
        let book = book.checked().map_err(|error| error.to_string())?;
        Ok(Self { line, book, unread: cells.unread })
    }

    /// The names of the authors in normal form.
    pub fn author_keys(&self) -> Vec<String> {
        let name = |author: &AuthorRef| match author {
            AuthorRef::Name(name) => text::fold(name),
            AuthorRef::Id(id) => id.to_string(),
        };
        self.book.authors.iter().map(name).collect()
    }
}

/// A row with another number of cells may have them in other columns. Empty ones at its end do no harm.
fn check_width(record: &ByteRecord, width: usize) -> Result<(), String> {
    let is_short = record.len() < width;
    if is_short || record.iter().skip(width).any(|cell| !cell.trim_ascii().is_empty()) {
        return Err(format!("has {} cells where the header has {width}", record.len()));
    }
    Ok(())
}

struct Cells<'a> {
    record: &'a ByteRecord,
    columns: &'a Columns,
    encoding: &'static Encoding,
    unread: Vec<UnreadValue>,
}

impl<'a> Cells<'a> {
    fn title(&self) -> Result<String, String> {
        let column = self.columns.of(Field::Title).iter();
        let cells: Result<Vec<&str>, String> =
            column.map(|at| self.text(Field::Title, *at)).collect();
        let filled = cells?.into_iter().find(|cell| !cell.is_empty());
        Ok(filled.unwrap_or_default().replace("&amp;", "&"))
    }

    fn authors(&self) -> Result<Vec<AuthorRef>, String> {
        let columns = self.columns.of(Field::Authors).iter();
        let cells = columns.map(|column| {
            Ok((self.columns.name_style(*column), self.text(Field::Authors, *column)?))
        });
        Ok(names::authors(cells.collect::<Result<Vec<_>, String>>()?))
    }

    /// The text of a required cell.
    fn text(&self, field: Field, column: usize) -> Result<&'a str, String> {
        let bytes = self.record.get(column).unwrap_or_default();
        decoded(bytes, self.encoding).map_err(|reason| format!("{}: {reason}", field.name()))
    }

    /// The first value in the columns of an optional field.
    fn value<T>(&mut self, field: Field, read: fn(&str) -> Reading<T>) -> Option<T> {
        let columns = self.columns;
        self.first(field, columns.of(field).iter().map(|column| (*column, read)))
    }

    fn isbn(&mut self) -> Option<String> {
        let columns = self.columns;
        let read = |column: &usize| -> (usize, fn(&str) -> Reading<String>) {
            let mixed = columns.has_other_identifiers(*column);
            (*column, if mixed { values::isbn_among_identifiers } else { values::isbn })
        };
        let both = columns.of(Field::Isbn13).iter().chain(columns.of(Field::Isbn));
        self.first(Field::Isbn, both.map(read))
    }

    fn first<T>(
        &mut self,
        field: Field,
        columns: impl Iterator<Item = (usize, fn(&str) -> Reading<T>)>,
    ) -> Option<T> {
        let mut unread = None;
        for (column, read) in columns {
            let bytes = self.record.get(column).unwrap_or_default();
            match decoded(bytes, self.encoding).map_err(|_| values::Unreadable).and_then(read) {
                Ok(Some(value)) => return Some(value),
                Ok(None) => {}
                Err(values::Unreadable) => unread = unread.or(Some(bytes)),
            }
        }
        let value = unread.map(|bytes| excerpt(&String::from_utf8_lossy(bytes)));
        self.unread.extend(value.map(|value| UnreadValue { field, value }));
        None
    }
}

/// The text of a cell, or why it has none that can be right.
pub(super) fn decoded<'a>(bytes: &'a [u8], encoding: &'static Encoding) -> Result<&'a str, String> {
    const HINT: &str = "name the encoding of the file with --encoding, such as windows-1252";
    let text = std::str::from_utf8(bytes).map_err(|_| format!("is not UTF-8; {HINT}"))?;
    if encoding != UTF_8 && text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(format!("is not {}; {HINT}", encoding.name()));
    }
    let wrong = |c: &char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    if let Some(c) = text.chars().find(wrong) {
        let code = u32::from(c);
        return Err(format!("has the control character U+{code:04X}; {HINT}"));
    }
    Ok(without_formula(text.trim()))
}

/// The text of `="…"`, with which exports keep spreadsheets from taking it for a number.
fn without_formula(text: &str) -> &str {
    text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')).map_or(text, str::trim)
}

/// The beginning of a text, for a message of one line.
fn excerpt(text: &str) -> String {
    const LENGTH: usize = 60;
    let text = text::tidy(text);
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::UTF_16LE;
    use proptest::prelude::*;

    use super::{super::Mapping, *};

    fn columns(header: &[&str]) -> Columns {
        let names = header.iter().map(|name| (*name).to_owned()).collect();
        Columns::new(names, &Mapping::default()).unwrap()
    }

    fn read(header: &[&str], cells: &[&str]) -> Result<Row, String> {
        Row::read(1, &ByteRecord::from(cells.to_vec()), &columns(header), UTF_8)
    }

    #[test]
    fn takes_the_first_readable_value_of_several_columns() {
        let header = ["title", "original publication year", "year published", "isbn", "isbn13"];
        let row = read(&header, &["A", "", "1990", "0439023483", "9.78e+12"]).unwrap();
        assert_eq!((row.book.published_year, row.unread.len()), (Some(1990), 0));
        assert_eq!(row.book.isbn.as_deref(), Some("9780439023481"));
        let row = read(&header, &["A", "soon", "MM", "", "9.78e+12"]).unwrap();
        let unread: Vec<_> = row.unread.iter().map(|u| (u.field, u.value.as_str())).collect();
        assert_eq!(unread, [(Field::Year, "soon"), (Field::Isbn, "9.78e+12")]);
    }

    #[test]
    fn accepts_empty_cells_beyond_the_header_only() {
        assert!(read(&["title", "year"], &["A", "1990", " ", ""]).is_ok());
        assert!(read(&["title", "year"], &["A", "1990", "x"]).is_err());
        assert!(read(&["title", "year"], &["A"]).is_err());
    }

    #[test]
    fn rejects_text_of_another_encoding() {
        for wrong in [&b"a\0"[..], b"\x01", b"\xff", b"a\x0bb", "\u{85}".as_bytes()] {
            assert!(decoded(wrong, UTF_8).is_err(), "{wrong:?}");
        }
        assert_eq!(decoded(b" a\tb\r\nc ", UTF_8), Ok("a\tb\r\nc"));
        assert_eq!(decoded("\u{fffd}".as_bytes(), UTF_8), Ok("\u{fffd}"));
        assert!(decoded("\u{fffd}".as_bytes(), UTF_16LE).is_err());
        assert_eq!(decoded(b"=\"1984\"", UTF_8), Ok("1984"));
    }

    proptest! {
        #[test]
        fn imports_or_rejects_any_row(
            cells in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..9),
            texts in prop::collection::vec("[0-9.e+-]{0,15}|\\PC{0,20}", 7),
        ) {
            let columns = columns(&Field::ALL.map(Field::name));
            for record in [ByteRecord::from(cells), ByteRecord::from(texts)] {
                match Row::read(1, &record, &columns, UTF_8) {
                    Ok(row) => prop_assert!(!row.book.title.trim().is_empty()),
                    Err(reason) => prop_assert!(!reason.is_empty()),
                }
            }
        }
    }
}
