//! Reading a file of rows as a stream, whatever its encoding and delimiter.

use std::io::{self, Cursor, Read};

use csv::{ByteRecord, Position};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;

use crate::{
    catalog::import::{
        columns::{self, Columns, Field, Mapping},
        row::{self, Row},
    },
    error::{Error, Result},
};

/// The beginning of a file in which its header row is looked for, in bytes of UTF-8.
const HEADER_LIMIT: u64 = 64 << 10;

/// The delimiters that are detected. Of two that split the header row equally well, the former.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// How to read a file.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The columns of fields, where the header row alone does not say.
    pub mapping: Mapping,
    /// The encoding of a file without a byte order mark; UTF-8 if there is none.
    pub encoding: Option<&'static Encoding>,
    /// The delimiter, an ASCII character; detected if there is none.
    pub delimiter: Option<u8>,
}

/// How a file is read, for a report before its first row.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The encoding.
    pub encoding: &'static Encoding,
    /// The delimiter.
    pub delimiter: u8,
    /// The names of the columns that fill each field, best first.
    pub used: Vec<(Field, Vec<String>)>,
    /// The names of the columns that fill no field.
    pub unused: Vec<String>,
}

/// A stream of bytes.
type Source<'a> = Box<dyn Read + Send + 'a>;

/// The rows of a file, with the columns of its header row.
pub(super) struct RowReader<'a> {
    reader: csv::Reader<Source<'a>>,
    record: ByteRecord,
    columns: Columns,
    encoding: &'static Encoding,
    delimiter: u8,
    /// Lines that the reader's positions lack.
    skipped: u64,
}

/// Opens a file and reads its header row.
///
/// # Errors
/// [`Error::Invalid`] if the file cannot be read or decoded, or its header row lacks a title column
/// or one that the options name.
pub(super) fn open<'a>(
    source: impl Read + Send + 'a,
    options: &ReadOptions,
) -> Result<RowReader<'a>> {
    let (encoding, mut source) = decode(source, options.encoding).map_err(unreadable)?;
    let mut head = Vec::new();
    source.by_ref().take(HEADER_LIMIT).read_to_end(&mut head).map_err(unreadable)?;
    let separator_line = separator_line(&head);
    let (skip, declared) = separator_line.map_or((0, None), |(skip, by)| (skip, Some(by)));
    let header = Header { head: &head[skip..], encoding, mapping: &options.mapping };
    let delimiter = options.delimiter.or(declared);
    let delimiter = delimiter.map_or_else(|| header.detect_delimiter(), Ok)?;
    let names = header.names(delimiter)?;
    let escape = columns::is_book_crossing(&names).then_some(b'\\');
    let columns = Columns::new(names, &options.mapping)?;
    let skipped = u64::from(skip > 0) + u64::from(header.ends_with_crlf(delimiter));
    let source: Source = Box::new(Cursor::new(head.split_off(skip)).chain(source));
    let mut builder = csv::ReaderBuilder::new();
    let builder = builder.flexible(true).delimiter(delimiter).escape(escape);
    let reader = builder.from_reader(source);
    let record = ByteRecord::new();
    Ok(RowReader { reader, record, columns, encoding, delimiter, skipped })
}

impl RowReader<'_> {
    /// How the file is read.
    pub fn layout(&self) -> Layout {
        Layout {
            encoding: self.encoding,
            delimiter: self.delimiter,
            used: self.columns.used(),
            unused: self.columns.unused(),
        }
    }

    /// The line and the content of the next row, or why it cannot go in.
    ///
    /// # Errors
    /// [`Error::Invalid`] if reading fails.
    pub fn next(&mut self) -> Result<Option<(u64, std::result::Result<Row, String>)>> {
        if !self.reader.read_byte_record(&mut self.record).map_err(unreadable)? {
            return Ok(None);
        }
        let line = self.skipped + self.record.position().map_or(0, Position::line);
        Ok(Some((line, Row::read(line, &self.record, &self.columns, self.encoding))))
    }
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::invalid(["file"], format!("cannot be read: {error}"))
}

/// The text of a source as UTF-8, without its byte order mark, which wins over `encoding`.
fn decode<'a>(
    mut source: impl Read + Send + 'a,
    encoding: Option<&'static Encoding>,
) -> io::Result<(&'static Encoding, Source<'a>)> {
    let mut start = Vec::new();
    source.by_ref().take(3).read_to_end(&mut start)?;
    let marked = Encoding::for_bom(&start);
    let encoding = marked.map(|(encoding, _)| encoding).or(encoding).unwrap_or(UTF_8);
    let start = start.split_off(marked.map_or(0, |(_, length)| length));
    let source = Cursor::new(start).chain(source);
    // Text that claims to be UTF-8 is checked cell by cell.
    if encoding == UTF_8 {
        return Ok((encoding, Box::new(source)));
    }
    let decoder = DecodeReaderBytesBuilder::new().encoding(Some(encoding)).build(source);
    Ok((encoding, Box::new(decoder)))
}

/// The length of a first line such as `sep=;`, which spreadsheets read and write, and its delimiter.
fn separator_line(head: &[u8]) -> Option<(usize, u8)> {
    let end = head.iter().position(|byte| *byte == b'\n')?;
    let line = head[..end].strip_suffix(b"\r").unwrap_or(&head[..end]);
    let line = line.strip_prefix(b"\"").and_then(|l| l.strip_suffix(b"\"")).unwrap_or(line);
    let (name, delimiter) = line.split_at_checked(4)?;
    match delimiter {
        [delimiter] if name.eq_ignore_ascii_case(b"sep=") => Some((end + 1, *delimiter)),
        _ => None,
    }
}

/// The beginning of a file, from its header row on.
struct Header<'a> {
    head: &'a [u8],
    encoding: &'static Encoding,
    mapping: &'a Mapping,
}

impl Header<'_> {
    /// The delimiter that splits the header row into most known columns, or else into most columns.
    fn detect_delimiter(&self) -> Result<u8> {
        let mut best = ((0, 0), DELIMITERS[0]);
        for delimiter in DELIMITERS {
            let names = self.names(delimiter)?;
            let fit = (Columns::recognized(&names, self.mapping), names.len());
            if fit > best.0 {
                best = (fit, delimiter);
            }
        }
        Ok(best.1)
    }

    /// Whether lines end with CRLF. The position of a row is then that of the LF in front of it,
    /// which still belongs to the line before.
    fn ends_with_crlf(&self, delimiter: u8) -> bool {
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(self.head);
        let is_read = reader.byte_headers().is_ok();
        let end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        is_read && self.head.get(end) == Some(&b'\n') && self.head[..end].ends_with(b"\r")
    }

    fn names(&self, delimiter: u8) -> Result<Vec<String>> {
        let mut builder = csv::ReaderBuilder::new();
        let mut reader = builder.delimiter(delimiter).from_reader(self.head);
        let header = reader.byte_headers().map_err(unreadable)?;
        let name = |cell| row::decoded(cell, self.encoding).map(str::to_owned);
        header.iter().map(name).collect::<std::result::Result<_, _>>().map_err(|reason| {
            let hint = utf_16(self.head).map_or(String::new(), |encoding| {
                let name = encoding.name().to_ascii_lowercase();
                format!(" (it looks like UTF-16 without a byte order mark: --encoding {name})")
            });
            Error::invalid(["file"], format!("the header row {reason}{hint}"))
        })
    }
}

/// Which UTF-16 a text without a byte order mark looks like: of ASCII, every other byte is zero.
fn utf_16(head: &[u8]) -> Option<&'static Encoding> {
    match head {
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => Some(UTF_16BE),
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => Some(UTF_16LE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::WINDOWS_1252;

    use super::*;

    fn layout(file: &[u8]) -> Layout {
        open(file, &ReadOptions::default()).unwrap().layout()
    }

    #[test]
    fn detects_the_delimiter() {
        for (file, delimiter) in [
            (&b"title"[..], b','),
            (b"title,author;s,year", b','),
            (b"title;author, first;year", b';'),
            (b"Title\tAuthor\n\"a,b,c,d\"", b'\t'),
            (b"a,b,c|title|year", b'|'),
            (b"\"Title; or\nnot\",title", b','),
            (b"sep=;\nTitle,x;Title", b';'),
            (b"SEP=\t\r\nTitle", b'\t'),
            (b"\"sep=|\"\r\nTitle", b'|'),
        ] {
            let found = layout(file).delimiter;
            assert_eq!(found, delimiter, "{}", String::from_utf8_lossy(file));
        }
    }

    #[test]
    fn reports_the_line_in_the_file() {
        for (file, expected) in [
            (&b"title\nOne\nTwo"[..], [2, 3]),
            (b"title\r\nOne\r\nTwo\r\n", [2, 3]),
            (b"sep=,\ntitle\nOne\nTwo\n", [3, 4]),
            (b"sep=,\r\n\"title\"\r\n\"One\r\n\"\r\nTwo\r\n", [3, 5]),
        ] {
            let mut reader = open(file, &ReadOptions::default()).unwrap();
            for line in expected {
                assert_eq!(reader.next().unwrap().unwrap().0, line, "{file:?}");
            }
            assert!(reader.next().unwrap().is_none());
        }
    }

    #[test]
    fn decodes_what_the_user_names_or_the_mark_says() {
        let latin = ReadOptions { encoding: Some(WINDOWS_1252), ..ReadOptions::default() };
        let title = |file: &[u8]| {
            let mut reader = open(file, &latin).unwrap();
            let (_, row) = reader.next().unwrap().unwrap();
            (reader.encoding.name(), row.map(|row| row.book.title).unwrap_or_default())
        };
        assert_eq!(title(b"title\nM\xfcll"), ("windows-1252", "Müll".to_owned()));
        assert_eq!(title("\u{feff}title\nMüll".as_bytes()), ("UTF-8", "Müll".to_owned()));
        assert_eq!(title(b"\xff\xfet\0i\0t\0l\0e\0\n\0x\0"), ("UTF-16LE", "x".to_owned()));
        assert_eq!(title(b"\xff\xfet\0i\0t\0l\0e\0\n\0\0\xd8x\0").1, "");
    }

    #[test]
    fn rejects_a_header_of_another_encoding() {
        for (file, hint) in [
            (&b"t\0i\0t\0l\0e\0"[..], "--encoding utf-16le"),
            (b"\0t\0i\0t\0l\0e", "--encoding utf-16be"),
            (b"\xff\xfe\0\0t\0\0\0", "U+0000"),
            (b"title,A\xf1o", "not UTF-8"),
        ] {
            let error = open(file, &ReadOptions::default()).err().unwrap().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
}
