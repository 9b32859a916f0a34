//! What nested fields load in batches, and the data that every resolver has.

use std::collections::HashMap;

use async_graphql::Context;
use entity::{author, book};

use super::dataloader::{Batch, Batches, DataLoader};
use crate::{
    books::{
        authors,
        order::BookOrder,
        page::{Page, Window},
    },
    database::Database,
    error::Result,
};

/// The catalogue as the resolvers of one request see it.
pub struct Catalogue {
    /// For root fields; nested ones use a loader.
    pub db: Database,
    /// The authors of a book, in order.
    pub authors_of_book: DataLoader<AuthorsOfBook>,
    /// A page of the books of an author.
    pub books_of_author: DataLoader<BooksOfAuthor>,
    /// The number of books of an author.
    pub book_count_of_author: DataLoader<BookCountOfAuthor>,
}

impl Catalogue {
    /// For one request, whose batches `batches` drives.
    #[must_use]
    pub fn new(db: &Database, batches: &Batches) -> Self {
        Self {
            db: db.clone(),
            authors_of_book: DataLoader::new(AuthorsOfBook(db.clone()), batches.clone()),
            books_of_author: DataLoader::new(BooksOfAuthor(db.clone()), batches.clone()),
            book_count_of_author: DataLoader::new(BookCountOfAuthor(db.clone()), batches.clone()),
        }
    }

    /// The catalogue of the request that `context` belongs to.
    ///
    /// # Panics
    /// If the request was not made by the engine, which gives each one its catalogue.
    #[must_use]
    pub fn of<'a>(context: &Context<'a>) -> &'a Self {
        context.data_unchecked()
    }
}

/// See [`Catalogue::authors_of_book`].
pub struct AuthorsOfBook(Database);

impl Batch for AuthorsOfBook {
    type Key = i64;
    type Value = Vec<author::Model>;
    const NAME: &'static str = "authors";

    async fn load(&self, books: Vec<i64>) -> Result<HashMap<i64, Vec<author::Model>>> {
        authors::of_books(self.0.reader(), &books).await
    }
}

/// See [`Catalogue::books_of_author`].
pub struct BooksOfAuthor(Database);

impl Batch for BooksOfAuthor {
    type Key = (i64, BookOrder, Window);
    type Value = Page<book::Model>;
    const NAME: &'static str = "books";

    /// One statement for all authors that are asked for the same part of their books, which
    /// those of one field are.
    async fn load(&self, keys: Vec<Self::Key>) -> Result<HashMap<Self::Key, Page<book::Model>>> {
        let mut by_part: HashMap<(BookOrder, Window), Vec<i64>> = HashMap::new();
        for (author, order, window) in keys {
            by_part.entry((order, window)).or_default().push(author);
        }
        let mut pages = HashMap::new();
        for ((order, window), ids) in by_part {
            let of_author = authors::books_of(self.0.reader(), &ids, order, &window).await?;
            pages.extend(
                of_author.into_iter().map(|(id, page)| ((id, order, window.clone()), page)),
            );
        }
        Ok(pages)
    }
}

/// See [`Catalogue::book_count_of_author`].
pub struct BookCountOfAuthor(Database);

impl Batch for BookCountOfAuthor {
    type Key = i64;
    type Value = u64;
    const NAME: &'static str = "bookCounts";

    async fn load(&self, authors: Vec<i64>) -> Result<HashMap<i64, u64>> {
        authors::count_books(self.0.reader(), &authors).await
    }
}
