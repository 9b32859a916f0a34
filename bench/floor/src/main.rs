//! The floor of the benchmark: the least that a service on the catalog's tables does for an answer.
//!
//! REST, hand-written SQL with one statement for each answer, and no telemetry. The bodies of its
//! answers are those of the service, to the byte.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::net::TcpListener;

// The service's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BOOK: &str = "SELECT title, pages, created_at FROM book WHERE id = $1";

const BOOKS: &str = "\
    SELECT id, title, ARRAY(\
        SELECT name FROM author JOIN book_author ON author_id = author.id \
        WHERE book_id = book.id ORDER BY position\
    ) FROM book ORDER BY id LIMIT $1";

const CREATE: &str = "\
    INSERT INTO book \
    (title, title_key, pages, created_at, updated_at, search_document, title_words) \
    VALUES ($1, $2, $3, now(), now(), $4::tsvector, $5) RETURNING id";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL")?;
    let pool = PgPoolOptions::new().max_connections(16).test_before_acquire(false).connect(&url);
    let router = Router::new()
        .route("/books/{id}", get(book))
        .route("/books", get(books).post(create))
        .with_state(pool.await?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

type Answer<T> = Result<Json<Data<T>>, StatusCode>;

#[derive(Serialize)]
struct Data<T> {
    data: T,
}

fn data<T>(data: T) -> Json<Data<T>> {
    Json(Data { data })
}

fn failed(error: sqlx::Error) -> StatusCode {
    eprintln!("{error}");
    StatusCode::INTERNAL_SERVER_ERROR
}

#[derive(Serialize)]
struct OneBook {
    book: Book,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Book {
    id: String,
    title: String,
    pages: Option<i32>,
    created_at: String,
}

async fn book(State(pool): State<PgPool>, Path(id): Path<i64>) -> Answer<OneBook> {
    let (title, pages, created_at): (_, _, DateTime<Utc>) =
        sqlx::query_as(BOOK).bind(id).fetch_one(&pool).await.map_err(failed)?;
    let created_at = created_at.to_rfc3339();
    let id = format!("book_{id}");
    Ok(data(OneBook { book: Book { id, title, pages, created_at } }))
}

#[derive(Deserialize)]
struct Page {
    first: i64,
}

#[derive(Serialize)]
struct ManyBooks {
    books: Nodes,
}

#[derive(Serialize)]
struct Nodes {
    nodes: Vec<BookWithAuthors>,
}

#[derive(Serialize)]
struct BookWithAuthors {
    id: String,
    title: String,
    authors: Vec<Author>,
}

#[derive(Serialize)]
struct Author {
    name: String,
}

async fn books(State(pool): State<PgPool>, Query(page): Query<Page>) -> Answer<ManyBooks> {
    let rows: Vec<(i64, String, Vec<String>)> =
        sqlx::query_as(BOOKS).bind(page.first).fetch_all(&pool).await.map_err(failed)?;
    let nodes = rows.into_iter().map(|(id, title, names)| BookWithAuthors {
        id: format!("book_{id}"),
        title,
        authors: names.into_iter().map(|name| Author { name }).collect(),
    });
    Ok(data(ManyBooks { books: Nodes { nodes: nodes.collect() } }))
}

#[derive(Deserialize)]
struct NewBook {
    title: String,
    pages: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    create_book: CreatedBook,
}

#[derive(Serialize)]
struct CreatedBook {
    id: String,
    title: String,
}

async fn create(State(pool): State<PgPool>, Json(new): Json<NewBook>) -> Answer<Created> {
    let key = new.title.to_lowercase();
    // As the service writes it: every word of a title at place 1, with weight A.
    let words: Vec<_> = key.split_whitespace().map(|word| format!("'{word}':1A")).collect();
    let id: i64 = sqlx::query_scalar(CREATE)
        .bind(&new.title)
        .bind(&key)
        .bind(new.pages)
        .bind(words.join(" "))
        .bind(i32::try_from(words.len()).unwrap_or(i32::MAX))
        .fetch_one(&pool)
        .await
        .map_err(failed)?;
    let id = format!("book_{id}");
    Ok(data(Created { create_book: CreatedBook { id, title: new.title } }))
}
