//! The keys of titles, and the search entries.

use std::collections::HashMap;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement},
};
use serde_json::json;

use super::{
    BATCH, list,
    text::{Folding, is_unaffected},
    write,
};

const POSTGRES: &[&str] = &["UPDATE book SET title_key = entry.title_key, \
    search_document = document::tsvector, title_words = words \
    FROM jsonb_to_recordset($1::jsonb) AS entry \
    (book_id bigint, title_key text, document text, words integer) WHERE book.id = book_id"];

/// As the second migration says, an entry's row id is the length of the title before the book's id.
const SQLITE: &[&str] = &[
    "UPDATE book SET title_key = value ->> 'title_key' FROM json_each($1) \
     WHERE book.id = value ->> 'book_id'",
    "DELETE FROM book_search WHERE rowid IN (SELECT place FROM book_search_place \
     WHERE book_id IN (SELECT value ->> 'book_id' FROM json_each($1)))",
    "INSERT OR REPLACE INTO book_search_place (book_id, place) \
     SELECT value ->> 'book_id', value ->> 'words' << 40 | value ->> 'book_id' FROM json_each($1)",
    "INSERT INTO book_search (rowid, title, authors) \
     SELECT value ->> 'words' << 40 | value ->> 'book_id' AS place, value ->> 'title', \
     value ->> 'authors' FROM json_each($1) ORDER BY place",
];

struct Book {
    id: i64,
    title: String,
    /// The names of the authors, in order.
    authors: Vec<String>,
}

/// Computes the keys and entries of all books that have a special letter.
pub async fn refold(db: &SchemaManagerConnection<'_>, folding: Folding) -> Result<(), DbErr> {
    let mut after = 0;
    loop {
        let mut books = batch(db, after).await?;
        let Some(last) = books.last() else { return Ok(()) };
        after = last.id;
        books.retain(|book| !book.texts().all(is_unaffected));
        if !books.is_empty() {
            store(db, &books, folding).await?;
        }
    }
}

/// The next books. All of them: where the database itself looked for those with a special letter in
/// an author's name, PostgreSQL would go through all authors for each batch.
async fn batch(db: &SchemaManagerConnection<'_>, after: i64) -> Result<Vec<Book>, DbErr> {
    let backend = db.get_database_backend();
    let sql = format!("SELECT id, title FROM book WHERE id > {after} ORDER BY id LIMIT {BATCH}");
    let mut books = Vec::new();
    for row in db.query_all_raw(Statement::from_string(backend, sql)).await? {
        let (id, title) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        books.push(Book { id, title, authors: Vec::new() });
    }
    add_authors(db, &mut books).await?;
    Ok(books)
}

async fn add_authors(db: &SchemaManagerConnection<'_>, books: &mut [Book]) -> Result<(), DbErr> {
    let sql = format!(
        "SELECT book_id, name FROM book_author JOIN author ON author.id = author_id \
         WHERE book_id IN ({}) ORDER BY book_id, position",
        list(books.iter().map(|book| book.id)),
    );
    if books.is_empty() {
        return Ok(());
    }
    let mut names: HashMap<i64, Vec<String>> = HashMap::new();
    for row in db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await? {
        names.entry(row.try_get_by_index(0)?).or_default().push(row.try_get_by_index(1)?);
    }
    for book in books {
        book.authors = names.remove(&book.id).unwrap_or_default();
    }
    Ok(())
}

async fn store(
    db: &SchemaManagerConnection<'_>,
    books: &[Book],
    folding: Folding,
) -> Result<(), DbErr> {
    let (statements, row): (_, fn(&Book, Folding) -> _) = match db.get_database_backend() {
        DbBackend::Postgres => (POSTGRES, Book::for_postgres),
        _ => (SQLITE, Book::for_sqlite),
    };
    let rows = books.iter().map(|book| row(book, folding)).collect();
    for sql in statements {
        write(db, sql, &rows).await?;
    }
    Ok(())
}

impl Book {
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.authors.iter().chain([&self.title]).map(String::as_str)
    }

    /// The words of the title and of the authors, and the length of the title.
    fn words(&self, folding: Folding) -> (Vec<String>, Vec<String>, usize) {
        let (mut title, compounds) = folding.words(&self.title);
        let length = title.len();
        title.extend(compounds);
        let authors = self.authors.iter().flat_map(|name| {
            let (words, compounds) = folding.words(name);
            words.into_iter().chain(compounds)
        });
        (title, authors.collect(), length)
    }

    fn for_postgres(&self, folding: Folding) -> serde_json::Value {
        let (title, authors, words) = self.words(folding);
        let title = title.iter().map(|word| format!("'{word}':1A"));
        let authors = authors.iter().map(|word| format!("'{word}':1B"));
        let document = title.chain(authors).collect::<Vec<_>>().join(" ");
        let title_key = folding.key(&self.title);
        json!({ "book_id": self.id, "title_key": title_key, "document": document, "words": words })
    }

    fn for_sqlite(&self, folding: Folding) -> serde_json::Value {
        let (title, authors, words) = self.words(folding);
        json!({
            "book_id": self.id,
            "title_key": folding.key(&self.title),
            "title": title.join(" "),
            "authors": authors.join(" "),
            "words": words,
        })
    }
}
