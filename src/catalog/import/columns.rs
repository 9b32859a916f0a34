//! Which column of a file fills which field of a book.

use std::str::FromStr;

use crate::{
    catalog::import::names::NameStyle,
    error::{Error, Result},
};

/// A field of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The title, without which there is no book.
    Title,
    /// The authors.
    Authors,
    /// The ISBN, an ISBN-10 as a rule.
    Isbn,
    /// The ISBN-13.
    Isbn13,
    /// The year of publication.
    Year,
    /// The language.
    Language,
    /// The number of pages.
    Pages,
}

impl Field {
    /// Every field, in the order of [`Field`].
    pub const ALL: [Self; 7] = [
        Self::Title,
        Self::Authors,
        Self::Isbn,
        Self::Isbn13,
        Self::Year,
        Self::Language,
        Self::Pages,
    ];

    /// The name in `--map`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Authors => "authors",
            Self::Isbn => "isbn",
            Self::Isbn13 => "isbn13",
            Self::Year => "year",
            Self::Language => "language",
            Self::Pages => "pages",
        }
    }

    /// The names that columns have for the field in the files people export, in normal form
    /// (lower case, letters and digits only), best first.
    const fn column_names(self) -> &'static [&'static str] {
        match self {
            Self::Title => &["title", "booktitle", "name", "originaltitle"],
            Self::Authors => &[
                "authors",
                "author",
                "authornames",
                "authorname",
                "primaryauthor",
                "bookauthors",
                "bookauthor",
                "creator",
                "creators",
            ],
            Self::Isbn => &["isbn", "isbn10", "isbns", "isbnuid"],
            Self::Isbn13 => &["isbn13", "ean", "ean13"],
            Self::Year => &[
                "originalpublicationyear",
                "originalpublicationdate",
                "firstpublishyear",
                "firstpublishdate",
                "publishedyear",
                "publicationyear",
                "yearpublished",
                "yearofpublication",
                "publishyear",
                "year",
                "publicationdate",
                "publisheddate",
                "publishdate",
                "datepublished",
                "dateofpublication",
                "pubdate",
                "published",
                // LibraryThing's.
                "date",
            ],
            Self::Language => &["language", "languages", "languagecode", "lang"],
            Self::Pages => {
                &["pages", "numpages", "numberofpages", "numberofpagesmedian", "pagecount"]
            }
        }
    }

    /// Columns that have more of the same, beside the first one of [`Self::column_names`].
    const fn additional_names(self) -> &'static [&'static str] {
        match self {
            Self::Authors => {
                &["additionalauthors", "secondaryauthor", "secondaryauthors", "otherauthors"]
            }
            _ => &[],
        }
    }

    /// The columns among these that fill the field.
    fn columns(self, normal: &[String]) -> Vec<usize> {
        let find = |name: &&str| normal.iter().position(|column| column == name);
        let known = self.column_names().iter().filter_map(find);
        // Of several titles or author lists each is complete.
        let limit = if matches!(self, Self::Title | Self::Authors) { 1 } else { usize::MAX };
        known.take(limit).chain(self.additional_names().iter().filter_map(find)).collect()
    }
}

/// Columns chosen by the user: for a field its columns, or none.
#[derive(Clone, Debug, Default)]
pub struct Mapping([Option<Vec<String>>; Field::ALL.len()]);

impl Mapping {
    /// This mapping, with `column` for `field`. An empty name leaves the field without a column.
    ///
    /// # Errors
    /// What fields there are, if `field` is none of them.
    pub fn with(mut self, field: &str, column: &str) -> std::result::Result<Self, String> {
        let names = Field::ALL.map(Field::name);
        let index = names.iter().position(|name| *name == field);
        let index = index
            .ok_or_else(|| format!("{field} is no field; the fields are {}", names.join(", ")))?;
        let columns = self.0[index].get_or_insert_default();
        if !column.is_empty() {
            columns.push(column.to_owned());
        }
        Ok(self)
    }

    /// All of these mappings together. Several for one field are several columns.
    #[must_use]
    pub fn merged(mappings: &[Self]) -> Self {
        let mut all = Self::default();
        for mapping in mappings {
            for (columns, more) in all.0.iter_mut().zip(&mapping.0) {
                if let Some(more) = more {
                    columns.get_or_insert_default().extend_from_slice(more);
                }
            }
        }
        all
    }

    fn of(&self, field: Field) -> Option<&[String]> {
        self.0[field as usize].as_deref()
    }
}

impl FromStr for Mapping {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (field, column) =
            text.split_once('=').ok_or("must be field=column, such as title=Name")?;
        Self::default().with(field.trim(), column.trim())
    }
}

/// The columns of a file, by the fields they fill.
#[derive(Debug)]
pub(super) struct Columns {
    /// The names in the header row.
    pub names: Vec<String>,
    normal: Vec<String>,
    by_field: [Vec<usize>; Field::ALL.len()],
}

impl Columns {
    /// Finds the fields in a header row.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no title, or no column of a name in `mapping`.
    pub fn new(names: Vec<String>, mapping: &Mapping) -> Result<Self> {
        let normal = names.iter().map(|name| normal_form(name)).collect();
        let mut columns = Self { names, normal, by_field: Default::default() };
        for field in Field::ALL {
            let chosen = mapping.of(field).unwrap_or_default().iter();
            let chosen: Result<Vec<usize>> = chosen.map(|name| columns.find(field, name)).collect();
            columns.by_field[field as usize] = chosen?;
        }
        columns.fill(mapping);
        if columns.of(Field::Title).is_empty() {
            let known = columns.names.join(", ");
            let message = format!("no column has it (name one with --map title=…): {known}");
            return Err(Error::invalid(["title"], message));
        }
        Ok(columns)
    }

    /// How many fields these columns fill: a measure of whether a header row was split rightly.
    pub fn recognized(names: &[String], mapping: &Mapping) -> usize {
        let normal: Vec<String> = names.iter().map(|name| normal_form(name)).collect();
        let is_there = |field: &Field| match mapping.of(*field) {
            Some(chosen) => chosen.iter().any(|name| names.contains(name)),
            None => !field.columns(&normal).is_empty(),
        };
        Field::ALL.iter().filter(|field| is_there(field)).count()
    }

    fn find(&self, field: Field, name: &str) -> Result<usize> {
        self.names.iter().position(|column| column == name).ok_or_else(|| {
            let known = self.names.join(", ");
            Error::invalid([field.name()], format!("no column is named {name}: {known}"))
        })
    }

    /// Finds the columns of fields for which the user chose none, among those not chosen for another.
    fn fill(&mut self, mapping: &Mapping) {
        let chosen: Vec<usize> = self.by_field.iter().flatten().copied().collect();
        for field in Field::ALL.into_iter().filter(|field| mapping.of(*field).is_none()) {
            let mut columns = field.columns(&self.normal);
            columns.retain(|column| !chosen.contains(column));
            self.by_field[field as usize] = columns;
        }
    }

    /// The columns of a field, best first.
    pub fn of(&self, field: Field) -> &[usize] {
        &self.by_field[field as usize]
    }

    /// How a column writes the names of authors.
    pub fn name_style(&self, column: usize) -> NameStyle {
        let has = |name: &str| self.normal.iter().any(|column| column == name);
        match self.normal[column].as_str() {
            "primaryauthor" | "secondaryauthor" => NameStyle::Inverted,
            "authors" if has("authorsort") => NameStyle::Ampersand,
            _ => NameStyle::Mixed,
        }
    }

    /// Whether a column has identifiers that are no ISBNs, as StoryGraph's `ISBN/UID`.
    pub fn has_other_identifiers(&self, column: usize) -> bool {
        self.normal[column] == "isbnuid"
    }

    /// The names of the columns of each field.
    pub fn used(&self) -> Vec<(Field, Vec<String>)> {
        let names = |field: Field| self.of(field).iter().map(|column| self.names[*column].clone());
        Field::ALL.into_iter().map(|field| (field, names(field).collect())).collect()
    }

    /// The names of the columns that fill no field.
    pub fn unused(&self) -> Vec<String> {
        let is_used = |column| self.by_field.iter().any(|columns| columns.contains(&column));
        let unused = self.names.iter().enumerate().filter(|(column, _)| !is_used(*column));
        unused.map(|(_, name)| name.clone()).collect()
    }
}

/// Whether these are the columns of the Book-Crossing data set, which escapes quotes with a backslash.
pub(super) fn is_book_crossing(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|column| normal_form(column) == name);
    has("booktitle") && has("bookauthor") && has("yearofpublication")
}

fn normal_form(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(header: &[&str], mapping: &Mapping) -> Result<Columns> {
        Columns::new(header.iter().map(|name| (*name).to_owned()).collect(), mapping)
    }

    #[test]
    fn finds_columns_by_their_usual_names() {
        let header = ["Book Id", "Title", "Author(s)", "Num_Pages", "Year", "Publication Date"];
        let found = columns(&header, &Mapping::default()).unwrap();
        assert_eq!((found.of(Field::Title), found.of(Field::Authors)), (&[1][..], &[2][..]));
        assert_eq!((found.of(Field::Pages), found.of(Field::Year)), (&[3][..], &[4, 5][..]));
        assert_eq!(found.unused(), ["Book Id"]);
    }

    #[test]
    fn takes_columns_from_the_user() {
        let header = ["Book Id", "Title", "Year", "Date"];
        let mapped = |maps: &[(&str, &str)]| {
            let maps: Vec<Mapping> =
                maps.iter().map(|(f, c)| Mapping::default().with(f, c).unwrap()).collect();
            columns(&header, &Mapping::merged(&maps))
        };
        assert_eq!(mapped(&[("year", "Book Id")]).unwrap().of(Field::Year), [0]);
        assert_eq!(mapped(&[("year", "Date"), ("year", "Year")]).unwrap().of(Field::Year), [3, 2]);
        assert_eq!(mapped(&[("year", "")]).unwrap().unused(), ["Book Id", "Year", "Date"]);
        assert_eq!(mapped(&[("pages", "Year")]).unwrap().of(Field::Year), [3]);
        assert!(mapped(&[("year", "Jahr")]).is_err() && mapped(&[("title", "")]).is_err());
        assert!(Mapping::default().with("color", "x").is_err());
    }
}
