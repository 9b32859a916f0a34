//! From the cells of a dirty file to a book, or to the reason why not.

use std::borrow::Cow;

use csv::ByteRecord;

use crate::{
    books::{
        input::{AuthorRef, NewBook},
        isbn, text,
    },
    error::{Error, Result},
};

/// The fields a column can fill, each with the names that columns have for it in the files
/// people export, in normal form (lower case, letters and digits only), best first.
const FIELDS: [(&str, &[&str]); 7] = [
    ("title", &["title", "booktitle", "name", "originaltitle"]),
    ("authors", &["authors", "author", "authornames", "authorname", "creator", "creators"]),
    ("isbn", &["isbn", "isbn10"]),
    ("isbn13", &["isbn13", "ean", "ean13"]),
    (
        "year",
        &[
            "originalpublicationyear",
            "publishedyear",
            "publicationyear",
            "yearpublished",
            "year",
            "publicationdate",
            "published",
        ],
    ),
    ("language", &["language", "languagecode", "lang"]),
    ("pages", &["pages", "numpages", "numberofpages", "pagecount"]),
];

const TITLE: usize = 0;
const AUTHORS: usize = 1;
const ISBN: usize = 2;
const ISBN13: usize = 3;
const YEAR: usize = 4;
const LANGUAGE: usize = 5;
const PAGES: usize = 6;

/// Column names chosen by the user, for files whose header is not understood.
#[derive(Clone, Debug, Default)]
pub struct Mapping([Option<String>; FIELDS.len()]);

impl Mapping {
    /// This mapping, with `column` for `field`.
    ///
    /// # Errors
    /// What fields there are, if `field` is none of them.
    pub fn with(mut self, field: &str, column: &str) -> std::result::Result<Self, String> {
        let names = FIELDS.map(|(name, _)| name);
        let index = names
            .iter()
            .position(|name| *name == field)
            .ok_or_else(|| format!("{field} is no field; the fields are {}", names.join(", ")))?;
        self.0[index] = Some(column.to_owned());
        Ok(self)
    }

    /// All of these mappings together; of two for one field, the later.
    #[must_use]
    pub fn merged(mappings: &[Self]) -> Self {
        let mut all = Self::default();
        for mapping in mappings {
            for (slot, column) in all.0.iter_mut().zip(&mapping.0) {
                if column.is_some() {
                    slot.clone_from(column);
                }
            }
        }
        all
    }
}

/// Where a file has which field.
#[derive(Debug)]
pub struct Columns {
    index: [Option<usize>; FIELDS.len()],
    width: usize,
}

/// A row that can go in.
#[derive(Debug)]
pub(super) struct Row {
    pub line: u64,
    pub book: NewBook,
    /// The row had an ISBN, which was wrong beyond repair.
    pub lost_isbn: bool,
}

impl Row {
    /// The names of the authors in normal form.
    pub fn author_keys(&self) -> Vec<String> {
        let name = |author: &AuthorRef| match author {
            AuthorRef::Name(name) => text::fold(name),
            AuthorRef::Id(id) => id.to_string(),
        };
        self.book.authors.iter().map(name).collect()
    }
}

impl Columns {
    /// Finds the fields in a header row.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no title, or no column of a name in `mapping`.
    pub fn new(header: &ByteRecord, mapping: &Mapping) -> Result<Self> {
        let names: Vec<Cow<'_, str>> = header.iter().map(String::from_utf8_lossy).collect();
        let normal: Vec<String> = names
            .iter()
            .map(|name| {
                name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
            })
            .collect();
        let known = || names.join(", ");
        let mut index = [None; FIELDS.len()];
        for (i, (field, aliases)) in FIELDS.iter().enumerate() {
            index[i] = match &mapping.0[i] {
                Some(column) => {
                    Some(names.iter().position(|name| name == column).ok_or_else(|| {
                        Error::invalid([field], format!("no column is named {column}: {}", known()))
                    })?)
                }
                None => {
                    aliases.iter().find_map(|alias| normal.iter().position(|name| name == alias))
                }
            };
        }
        if index[TITLE].is_none() {
            let message = format!("no column has it (name one with --map title=…): {}", known());
            return Err(Error::invalid(["title"], message));
        }
        Ok(Self { index, width: header.len() })
    }

    /// The row of these cells, or why it cannot go in.
    pub(super) fn row(&self, line: u64, record: &ByteRecord) -> std::result::Result<Row, String> {
        if record.len() != self.width {
            return Err(format!("has {} cells where the header has {}", record.len(), self.width));
        }
        let mut cells = [""; FIELDS.len()];
        for (cell, column) in cells.iter_mut().zip(self.index) {
            let bytes = column.and_then(|column| record.get(column)).unwrap_or_default();
            *cell = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?.trim();
        }
        let isbn = isbn_of(cells[ISBN], cells[ISBN13]);
        let book = NewBook {
            title: cells[TITLE].to_owned(),
            authors: authors(cells[AUTHORS]),
            pages: number("pages", cells[PAGES])?.filter(|pages| *pages != 0),
            published_year: year(cells[YEAR])?,
            language: (!cells[LANGUAGE].is_empty()).then(|| cells[LANGUAGE].to_owned()),
            isbn: None,
        };
        let book = book.checked().map_err(|error| error.to_string())?;
        let lost_isbn = isbn.is_none() && !(cells[ISBN].is_empty() && cells[ISBN13].is_empty());
        Ok(Row { line, book: NewBook { isbn, ..book }, lost_isbn })
    }
}

/// The ISBN of a row, if one of its two cells gives it beyond doubt.
///
/// Spreadsheets turn an ISBN-13 into `9.78043902348e+12`, which has lost digits; even where
/// all thirteen are there, a check digit finds only nine of ten mistakes, so that notation is
/// never trusted.
fn isbn_of(isbn: &str, isbn13: &str) -> Option<String> {
    let without_fraction = |cell: &str| cell.strip_suffix(".0").unwrap_or(cell).to_owned();
    let (isbn, isbn13) = (without_fraction(isbn), without_fraction(isbn13));
    isbn::parse(&isbn13)
        .or_else(|| isbn::parse(&isbn))
        .or_else(|| isbn::parse_isbn10_without_zeros(&isbn))
}

/// The authors of one cell. A semicolon or a vertical bar separates them, or else a comma, except before what belongs to the name in front of it. Repeated names count once.
fn authors(cell: &str) -> Vec<AuthorRef> {
    let separated = cell.contains([';', '|']);
    let is_separator = |c: char| if separated { matches!(c, ';' | '|') } else { c == ',' };
    let mut names: Vec<String> = Vec::new();
    for part in cell.split(is_separator) {
        let part = text::tidy(part);
        match names.last_mut() {
            Some(name) if is_suffix(&part) => *name = format!("{name}, {part}"),
            _ if part.is_empty() => {}
            _ => names.push(part),
        }
    }
    let mut keys = std::collections::HashSet::new();
    names.retain(|name| keys.insert(text::fold(name)));
    names.into_iter().map(AuthorRef::Name).collect()
}

fn is_suffix(part: &str) -> bool {
    const SUFFIXES: [&str; 9] = ["jr", "sr", "ii", "iii", "iv", "phd", "md", "mfa", "esq"];
    let plain: String = part.chars().filter(|c| c.is_alphanumeric()).collect();
    SUFFIXES.contains(&plain.to_lowercase().as_str())
}

/// A whole number that may be written `2008.0`.
fn number(field: &str, cell: &str) -> std::result::Result<Option<i32>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    let digits = cell.split_once('.').map_or(cell, |(whole, fraction)| {
        if fraction.bytes().all(|b| b == b'0') { whole } else { cell }
    });
    digits.parse().map(Some).map_err(|_| format!("{field}: {cell:?} is not a whole number"))
}

/// A year, which may be written `2008.0` or as the date `2008-09-14`.
fn year(cell: &str) -> std::result::Result<Option<i32>, String> {
    let bytes = cell.as_bytes();
    let is_date = bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-';
    number("year", if is_date { &cell[..4] } else { cell })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(cell: &str) -> Vec<String> {
        let name = |author| match author {
            AuthorRef::Name(name) => name,
            AuthorRef::Id(_) => unreachable!("cells hold names"),
        };
        authors(cell).into_iter().map(name).collect()
    }

    #[test]
    fn a_cell_holds_several_authors() {
        assert_eq!(names("J.K. Rowling, Mary GrandPré"), ["J.K. Rowling", "Mary GrandPré"]);
        assert_eq!(names("Martin Luther King, Jr., Clayborne Carson").len(), 2);
        assert_eq!(names("Marx, Karl; Engels, Friedrich"), ["Marx, Karl", "Engels, Friedrich"]);
        assert_eq!(names("Ann Lee, ann  lee,, "), ["Ann Lee"]);
        assert!(names("").is_empty());
    }

    #[test]
    fn isbns_are_recovered_or_left_out_never_guessed() {
        let real = Some("9780439023481".to_owned());
        assert_eq!(isbn_of("439023483", "9.78043902348e+12"), real);
        assert_eq!(isbn_of("", "9780439023481.0"), real);
        assert_eq!(isbn_of("439023482", "9.780439023481e+12"), None);
        assert_eq!(isbn_of("0000000000", ""), None);
        assert_eq!(isbn_of("", ""), None);
    }

    #[test]
    fn years_and_pages_come_in_many_forms() {
        assert_eq!(year("2008.0"), Ok(Some(2008)));
        assert_eq!(year("-750.0"), Ok(Some(-750)));
        assert_eq!(year("2008-09-14"), Ok(Some(2008)));
        assert_eq!(year(""), Ok(None));
        assert!(year("2008.5").is_err() && year("MMVIII").is_err() && year("é-é-123456").is_err());
    }

    #[test]
    fn headers_are_matched_sensibly() {
        let header = ByteRecord::from(vec!["Book Id", "Title", "Author(s)", "Num_Pages"]);
        let columns = Columns::new(&header, &Mapping::default()).unwrap();
        assert_eq!(columns.index[..2], [Some(1), Some(2)]);
        assert_eq!(columns.index[PAGES], Some(3));
        let mapped = Mapping::default().with("year", "Book Id").unwrap();
        assert_eq!(Columns::new(&header, &mapped).unwrap().index[YEAR], Some(0));
        let missing = Mapping::default().with("year", "Year").unwrap();
        assert!(Columns::new(&header, &missing).is_err());
        assert!(Mapping::default().with("colour", "x").is_err());
    }

    proptest! {
        #[test]
        fn any_row_goes_in_or_is_told_why(
            cells in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..9),
            texts in prop::collection::vec("[0-9.e+-]{0,15}|\\PC{0,20}", 7),
        ) {
            let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
            let columns = Columns::new(&ByteRecord::from(names), &Mapping::default()).unwrap();
            for record in [ByteRecord::from(cells), ByteRecord::from(texts)] {
                match columns.row(1, &record) {
                    Ok(row) => prop_assert!(!row.book.title.trim().is_empty()),
                    Err(reason) => prop_assert!(!reason.is_empty()),
                }
            }
        }
    }
}
