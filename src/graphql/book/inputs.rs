//! The inputs of books, and what they are to the catalog.

use async_graphql::{Enum, ID, InputObject, MaybeUndefined, OneofObject};

use crate::{
    catalog::{
        authors::AuthorRef,
        books::{
            filter,
            input::{BookPatch, NewBook},
            order::{self, BookField},
        },
        validation::Patch,
    },
    error::Result,
    graphql::{
        author::Author,
        inputs::{DateTimeRange, IntRange, OrderDirection, patch},
        node,
    },
};

/// The fields that books can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum BookOrderField {
    /// The title, whatever its case, accents and special letters.
    Title,
    /// The year of publication; books without one come last.
    Year,
    /// The number of pages; books without one come last.
    Pages,
    /// When the book was created.
    CreatedAt,
}

/// An order of books. Ties are sorted by the order of creation.
#[derive(Clone, Copy, Debug, InputObject)]
pub struct BookOrder {
    /// The field to sort by.
    pub field: BookOrderField,
    /// The direction (default: ascending).
    pub direction: Option<OrderDirection>,
}

impl From<BookOrder> for order::BookOrder {
    fn from(order: BookOrder) -> Self {
        let field = match order.field {
            BookOrderField::Title => BookField::Title,
            BookOrderField::Year => BookField::Year,
            BookOrderField::Pages => BookField::Pages,
            BookOrderField::CreatedAt => BookField::CreatedAt,
        };
        Self { field, descending: order.direction == Some(OrderDirection::Desc) }
    }
}

/// Conditions that a book must meet, all of them.
#[derive(Clone, Debug, InputObject)]
pub struct BookFilter {
    /// The title contains this, whatever its case, accents and special letters.
    pub title_contains: Option<String>,
    /// An author's name contains this, whatever its case, accents and special letters.
    pub author: Option<String>,
    /// The language, as a tag such as `en`, which also finds `en-US`.
    pub language: Option<String>,
    /// The year of publication.
    pub year: Option<IntRange>,
    /// The number of pages.
    pub pages: Option<IntRange>,
    /// When the book was created.
    pub created: Option<DateTimeRange>,
}

impl BookFilter {
    /// The catalog's form of it.
    #[must_use]
    pub fn into_filter(self) -> filter::BookFilter {
        filter::BookFilter {
            title_contains: self.title_contains,
            author: self.author,
            language: self.language,
            year: self.year.map(Into::into).unwrap_or_default(),
            pages: self.pages.map(Into::into).unwrap_or_default(),
            created: self.created.map(Into::into).unwrap_or_default(),
        }
    }
}

/// An author of a book, by id or by name.
#[derive(Clone, Debug, OneofObject)]
pub enum BookAuthorInput {
    /// An author, by a global id.
    Id(ID),
    /// An author, by name; created if there is none of that name.
    Name(String),
}

/// The fields of a new book.
#[derive(Clone, Debug, InputObject)]
pub struct CreateBookInput {
    /// The title, 1 to 500 characters.
    pub title: String,
    /// The authors, in the order of the title page (maximum 50).
    pub authors: Option<Vec<BookAuthorInput>>,
    /// The number of pages, 1 to 100,000.
    pub pages: Option<i32>,
    /// An ISBN-10 or ISBN-13 with a right check digit; hyphens are allowed.
    pub isbn: Option<String>,
    /// The year of first publication, -3000 to next year.
    pub published_year: Option<i32>,
    /// The language, as a tag such as `en` or `pt-BR`.
    pub language: Option<String>,
}

impl CreateBookInput {
    /// The catalog's form of it.
    ///
    /// # Errors
    /// [`crate::error::Error::Invalid`] if an author's id is none.
    pub fn into_book(self) -> Result<NewBook> {
        Ok(NewBook {
            title: self.title,
            authors: authors(self.authors.unwrap_or_default())?,
            pages: self.pages,
            isbn: self.isbn,
            published_year: self.published_year,
            language: self.language,
        })
    }
}

/// The changes to a book: fields that are left out are kept, fields that are null are cleared.
#[derive(Clone, Debug, InputObject)]
pub struct UpdateBookInput {
    /// The title, 1 to 500 characters. It cannot be cleared.
    pub title: MaybeUndefined<String>,
    /// All authors, in the order of the title page (maximum 50); they replace the present ones.
    pub authors: MaybeUndefined<Vec<BookAuthorInput>>,
    /// The number of pages, 1 to 100,000.
    pub pages: MaybeUndefined<i32>,
    /// An ISBN-10 or ISBN-13 with a right check digit; hyphens are allowed.
    pub isbn: MaybeUndefined<String>,
    /// The year of first publication, -3000 to next year.
    pub published_year: MaybeUndefined<i32>,
    /// The language, as a tag such as `en` or `pt-BR`.
    pub language: MaybeUndefined<String>,
}

impl UpdateBookInput {
    /// The catalog's form of it.
    ///
    /// # Errors
    /// [`crate::error::Error::Invalid`] if an author's id is none.
    pub fn into_patch(self) -> Result<BookPatch> {
        Ok(BookPatch {
            title: patch(self.title),
            authors: match patch(self.authors) {
                Patch::Set(refs) => Patch::Set(authors(refs)?),
                Patch::Keep => Patch::Keep,
                Patch::Clear => Patch::Clear,
            },
            pages: patch(self.pages),
            isbn: patch(self.isbn),
            published_year: patch(self.published_year),
            language: patch(self.language),
        })
    }
}

fn authors(refs: Vec<BookAuthorInput>) -> Result<Vec<AuthorRef>> {
    refs.into_iter()
        .enumerate()
        .map(|(i, author)| match author {
            BookAuthorInput::Name(name) => Ok(AuthorRef::Name(name)),
            BookAuthorInput::Id(id) => match node::row::<Author>(&id, "id") {
                Ok(row) => Ok(AuthorRef::Id(row)),
                Err(error) => Err(error.with_path_prefix(["authors", &i.to_string()])),
            },
        })
        .collect()
}
