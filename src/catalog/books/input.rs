//! What a client may write, and the rules it must keep. Every broken rule is
//! reported, not only the first.

use chrono::{Datelike, Utc};

use crate::{
    catalog::{books::isbn, text},
    error::{Error, Result, Violation},
};

/// The longest title, in characters.
pub const MAX_TITLE: usize = 500;
/// The longest author name, in characters.
pub const MAX_NAME: usize = 200;
/// The most pages of a book.
pub const MAX_PAGES: i32 = 100_000;
/// The first year a book can have.
pub const MIN_YEAR: i32 = -3000;
/// The most authors of a book.
pub const MAX_AUTHORS: usize = 50;

/// An author as a book's input names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorRef {
    /// An author of the catalogue.
    Id(i64),
    /// The author of that name, entered if the catalogue has none.
    Name(String),
}

/// A book to be entered, as the client wrote it.
#[derive(Clone, Debug, Default)]
pub struct NewBook {
    /// Required.
    pub title: String,
    /// In the order of the title page.
    pub authors: Vec<AuthorRef>,
    /// The number of pages.
    pub pages: Option<i32>,
    /// An ISBN-10 or ISBN-13, hyphens allowed.
    pub isbn: Option<String>,
    /// Negative before the common era.
    pub published_year: Option<i32>,
    /// A language tag.
    pub language: Option<String>,
}

/// A change of one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// As it is.
    #[default]
    Keep,
    /// To nothing.
    Clear,
    /// To this.
    Set(T),
}

impl<T> Patch<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(f(value)),
        }
    }

    /// What stands afterwards where `old` stood before.
    pub fn apply(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Keep => old,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// Changes of a book, as the client wrote them.
#[derive(Clone, Debug, Default)]
pub struct BookPatch {
    /// Cannot be cleared.
    pub title: Patch<String>,
    /// All authors anew; cleared, the book has none.
    pub authors: Patch<Vec<AuthorRef>>,
    /// The number of pages.
    pub pages: Patch<i32>,
    /// An ISBN-10 or ISBN-13, hyphens allowed.
    pub isbn: Patch<String>,
    /// Negative before the common era.
    pub published_year: Patch<i32>,
    /// A language tag.
    pub language: Patch<String>,
}

/// The violations found so far.
#[derive(Default)]
struct Validator(Vec<Violation>);

impl Validator {
    fn fail<T>(&mut self, field: &str, message: impl Into<String>) -> Option<T> {
        self.0.push(Violation::new([field], message));
        None
    }

    fn finish<T>(self, value: T) -> Result<T> {
        if self.0.is_empty() { Ok(value) } else { Err(Error::Invalid(self.0)) }
    }

    fn text(&mut self, field: &str, value: &str, max: usize) -> String {
        let tidy = text::tidy(value);
        let length = tidy.chars().count();
        if length == 0 || length > max {
            self.fail::<()>(field, format!("must have 1 to {max} characters, not {length}"));
        }
        tidy
    }

    fn pages(&mut self, pages: i32) -> Option<i32> {
        if (1..=MAX_PAGES).contains(&pages) {
            return Some(pages);
        }
        self.fail("pages", format!("must be between 1 and {MAX_PAGES}, not {pages}"))
    }

    fn isbn(&mut self, isbn: &str) -> Option<String> {
        isbn::parse(isbn)
            .or_else(|| self.fail("isbn", "must be an ISBN-10 or ISBN-13 with a right check digit"))
    }

    fn year(&mut self, year: i32) -> Option<i32> {
        let max = max_year();
        if (MIN_YEAR..=max).contains(&year) {
            return Some(year);
        }
        self.fail("publishedYear", format!("must be between {MIN_YEAR} and {max}, not {year}"))
    }

    fn language(&mut self, tag: &str) -> Option<String> {
        language(tag)
            .or_else(|| self.fail("language", "must be a language tag such as en or pt-BR"))
    }

    fn authors(&mut self, authors: Vec<AuthorRef>) -> Vec<AuthorRef> {
        if authors.len() > MAX_AUTHORS {
            self.fail::<()>("authors", format!("must be at most {MAX_AUTHORS}"));
            return Vec::new();
        }
        let mut checked: Vec<AuthorRef> = Vec::with_capacity(authors.len());
        for (i, author) in authors.into_iter().enumerate() {
            let author = match author {
                AuthorRef::Id(id) => AuthorRef::Id(id),
                AuthorRef::Name(name) => AuthorRef::Name(self.author_name(i, &name)),
            };
            if checked.iter().any(|other| same_author(other, &author)) {
                self.0.push(Violation::new(["authors", &i.to_string()], "is named twice"));
            }
            checked.push(author);
        }
        checked
    }

    fn author_name(&mut self, i: usize, name: &str) -> String {
        let before = self.0.len();
        let name = self.text("name", name, MAX_NAME);
        for violation in &mut self.0[before..] {
            violation.path = vec!["authors".into(), i.to_string(), "name".into()];
        }
        name
    }
}

fn same_author(a: &AuthorRef, b: &AuthorRef) -> bool {
    match (a, b) {
        (AuthorRef::Id(a), AuthorRef::Id(b)) => a == b,
        (AuthorRef::Name(a), AuthorRef::Name(b)) => text::fold(a) == text::fold(b),
        _ => false,
    }
}

/// The last year a book can have: the next one, since books are announced ahead.
#[must_use]
pub fn max_year() -> i32 {
    Utc::now().year() + 1
}

/// The canonical form of a language tag (BCP 47: `en`, `pt-BR`, `zh-Hant`), or `None` where
/// it has not the shape of one.
#[must_use]
pub fn language(tag: &str) -> Option<String> {
    let mut parts = tag.trim().split('-');
    let primary = parts.next()?;
    if tag.len() > 35
        || !(2..=3).contains(&primary.len())
        || !primary.bytes().all(|b| b.is_ascii_alphabetic())
    {
        return None;
    }
    let mut canonical = shortest(primary.to_ascii_lowercase());
    for part in parts {
        if !(1..=8).contains(&part.len()) || !part.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        canonical.push('-');
        match part.len() {
            2 => canonical.push_str(&part.to_ascii_uppercase()),
            4 => {
                canonical.push_str(&part[..1].to_ascii_uppercase());
                canonical.push_str(&part[1..].to_ascii_lowercase());
            }
            _ => canonical.push_str(&part.to_ascii_lowercase()),
        }
    }
    Some(canonical)
}

/// The two-letter code of a language where it has one, which is the one to use (BCP 47, 2.2.1);
/// files from libraries have three letters, often the bibliographic ones (ISO 639-2/B).
fn shortest(code: String) -> String {
    const BIBLIOGRAPHIC: [(&str, &str); 20] = [
        ("alb", "sq"),
        ("arm", "hy"),
        ("baq", "eu"),
        ("bur", "my"),
        ("chi", "zh"),
        ("cze", "cs"),
        ("dut", "nl"),
        ("fre", "fr"),
        ("geo", "ka"),
        ("ger", "de"),
        ("gre", "el"),
        ("ice", "is"),
        ("mac", "mk"),
        ("mao", "mi"),
        ("may", "ms"),
        ("per", "fa"),
        ("rum", "ro"),
        ("slo", "sk"),
        ("tib", "bo"),
        ("wel", "cy"),
    ];
    let bibliographic = BIBLIOGRAPHIC.iter().find(|(three, _)| *three == code).map(|(_, two)| *two);
    bibliographic
        .or_else(|| isolang::Language::from_639_3(&code)?.to_639_1())
        .map_or(code, str::to_owned)
}

/// The name of an author, tidied.
///
/// # Errors
/// [`Error::Invalid`] if nothing of it is left or it is too long.
pub fn author_name(name: &str) -> Result<String> {
    let mut validator = Validator::default();
    let name = validator.text("name", name, MAX_NAME);
    validator.finish(name)
}

impl NewBook {
    /// The book with its values tidied and in canonical form.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every broken rule.
    pub fn checked(self) -> Result<Self> {
        let mut validator = Validator::default();
        let book = Self {
            title: validator.text("title", &self.title, MAX_TITLE),
            authors: validator.authors(self.authors),
            pages: self.pages.and_then(|pages| validator.pages(pages)),
            isbn: self.isbn.and_then(|isbn| validator.isbn(&isbn)),
            published_year: self.published_year.and_then(|year| validator.year(year)),
            language: self.language.and_then(|tag| validator.language(&tag)),
        };
        validator.finish(book)
    }
}

impl BookPatch {
    /// The changes with their values tidied and in canonical form.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every broken rule.
    pub fn checked(self) -> Result<Self> {
        let mut validator = Validator::default();
        if self.title == Patch::Clear {
            validator.fail::<()>("title", "cannot be cleared");
        }
        let patch = Self {
            title: self.title.map(|title| validator.text("title", &title, MAX_TITLE)),
            authors: self.authors.map(|authors| validator.authors(authors)),
            pages: self.pages.map(|pages| validator.pages(pages).unwrap_or_default()),
            isbn: self.isbn.map(|isbn| validator.isbn(&isbn).unwrap_or_default()),
            published_year: self
                .published_year
                .map(|year| validator.year(year).unwrap_or_default()),
            language: self.language.map(|tag| validator.language(&tag).unwrap_or_default()),
        };
        validator.finish(patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_violations_come_back_with_their_paths() {
        let book = NewBook {
            title: " \n ".into(),
            authors: vec![AuthorRef::Name("x".repeat(201)), AuthorRef::Id(1), AuthorRef::Id(1)],
            pages: Some(0),
            isbn: Some("9780439023482".into()),
            published_year: Some(-3001),
            language: Some("english".into()),
        };
        let Err(Error::Invalid(violations)) = book.checked() else { panic!("accepted") };
        let paths: Vec<String> = violations.iter().map(|v| v.path.join(".")).collect();
        assert_eq!(
            paths,
            ["title", "authors.0.name", "authors.2", "pages", "isbn", "publishedYear", "language"]
        );
    }

    #[test]
    fn values_become_canonical() {
        let book = NewBook {
            title: "  War\t and Peace ".into(),
            isbn: Some("0-439-02348-3".into()),
            published_year: Some(max_year()),
            language: Some("PT-br".into()),
            ..NewBook::default()
        };
        let book = book.checked().unwrap();
        assert_eq!(book.title, "War and Peace");
        assert_eq!(book.isbn.as_deref(), Some("9780439023481"));
        assert_eq!(book.language.as_deref(), Some("pt-BR"));
    }

    #[test]
    fn languages_have_one_code() {
        for (tag, canonical) in [
            ("eng", "en"),
            ("fre", "fr"),
            ("fra", "fr"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("grc", "grc"),
        ] {
            assert_eq!(language(tag).as_deref(), Some(canonical));
        }
        for wrong in ["", "e", "english", "en-", "en-é", "e1", "en_US"] {
            assert_eq!(language(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_title_cannot_be_cleared() {
        let patch = BookPatch { title: Patch::Clear, pages: Patch::Set(0), ..Default::default() };
        let error = patch.checked().unwrap_err().to_string();
        assert!(error.contains("title: cannot be cleared") && error.contains("pages: "));
    }
}
