//! What a client may write of a book, and the rules it must keep.

use chrono::{Datelike, Utc};

use crate::{
    catalog::{
        authors::{AuthorRef, MAX_NAME},
        books::isbn,
        language, text,
        validation::{Patch, Validator},
    },
    error::{Result, Violation},
};

/// The longest title, in characters.
pub const MAX_TITLE: usize = 500;
/// The most pages of a book.
pub const MAX_PAGES: i32 = 100_000;
/// The first year a book can have.
pub const MIN_YEAR: i32 = -3000;
/// The most authors of a book.
pub const MAX_AUTHORS: usize = 50;

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

/// What [`Validator`] knows of books.
impl Validator {
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
        language::tag(tag)
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
                AuthorRef::Name(name) => AuthorRef::Name(self.text_at(
                    ["authors", &i.to_string(), "name"],
                    &name,
                    MAX_NAME,
                )),
            };
            if checked.iter().any(|other| same_author(other, &author)) {
                self.report(Violation::new(["authors", &i.to_string()], "is named twice"));
            }
            checked.push(author);
        }
        checked
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

impl NewBook {
    /// The book with its values tidied and in canonical form.
    ///
    /// # Errors
    /// [`crate::error::Error::Invalid`] with every broken rule.
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
    /// [`crate::error::Error::Invalid`] with every broken rule.
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
    use crate::error::Error;

    #[test]
    fn reports_all_violations_with_their_paths() {
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
    fn canonicalizes_values() {
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
    fn rejects_clearing_the_title() {
        let patch = BookPatch { title: Patch::Clear, pages: Patch::Set(0), ..Default::default() };
        let error = patch.checked().unwrap_err().to_string();
        assert!(error.contains("title: cannot be cleared") && error.contains("pages: "));
    }
}
