//! Authors, and who wrote what.

mod named;
pub mod order;

use std::{collections::HashMap, sync::LazyLock};

use entity::{author, book, book_author};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, FromQueryResult, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, QueryTrait, Statement, Value,
    sea_query::{Alias, Expr, ExprTrait, Func, Order, Query, WindowStatement},
};

use crate::{
    catalog::{
        authors::order::ByName,
        books::order::BookOrder,
        constraint::Constraint,
        filter::contains,
        pagination::{Page, PageArgs, SortOrder},
        rows::{Columns, FromRow, columns, from_row},
        search, text,
        validation::Validator,
    },
    database::eq_any,
    error::{Error, Result},
};

pub use named::{AuthorRef, Known, look_up, resolve};

columns!(author { id, name, name_key });

/// The longest name, in characters.
pub const MAX_NAME: usize = 200;

/// The author with this id.
///
/// # Errors
/// If the database fails.
pub async fn find<C: ConnectionTrait>(db: &C, id: i64) -> Result<Option<author::Model>> {
    Ok(author::Entity::find_by_id(id).one(db).await?)
}

/// The authors with these ids, in no order.
///
/// # Errors
/// If the database fails.
pub async fn find_many<C: ConnectionTrait>(db: &C, ids: &[i64]) -> Result<Vec<author::Model>> {
    let column = (author::Entity, author::Column::Id);
    let known = eq_any(db.get_database_backend(), column, ids);
    Ok(author::Entity::find().filter(known).all(db).await?)
}

/// A page of the authors whose name contains `part`, by name.
///
/// # Errors
/// If the database fails.
pub async fn list<C: ConnectionTrait>(
    db: &C,
    part: Option<&str>,
    args: &PageArgs,
) -> Result<Page<author::Model>> {
    let mut select = author::Entity::find();
    if let Some(part) = part {
        select = select.filter(name_contains(part));
    }
    let backend = db.get_database_backend();
    let statement = ByName.page(backend, select.into_query(), args, part.is_some());
    let rows = db.query_all_raw(statement).await?;
    let authors = rows.iter().map(from_row).collect::<std::result::Result<_, _>>()?;
    Ok(Page::new(authors, args, |author| ByName.cursor(author)))
}

/// How many authors [`list`] has in all.
///
/// # Errors
/// If the database fails.
pub async fn count<C: ConnectionTrait>(db: &C, part: Option<&str>) -> Result<u64> {
    let select = author::Entity::find();
    Ok(match part {
        Some(part) => select.filter(name_contains(part)).count(db).await?,
        None => select.count(db).await?,
    })
}

/// Creates an author.
///
/// # Errors
/// [`Error::Invalid`], or [`Error::Conflict`] if there is one of that name.
pub async fn create<C: ConnectionTrait>(db: &C, name: &str) -> Result<author::Model> {
    let name = tidy_name(name)?;
    let taken = taken(&name);
    author::Entity::insert(to_insert(name))
        .exec_with_returning(db)
        .await
        .map_err(|error| Constraint::AuthorName.conflict_or(error, || taken))
}

/// Renames an author, in the search index too.
///
/// # Errors
/// [`Error::Invalid`], [`Error::NotFound`], or [`Error::Conflict`] if another has that name.
pub async fn rename<C: ConnectionTrait>(db: &C, id: i64, name: &str) -> Result<author::Model> {
    let name = tidy_name(name)?;
    let author = author::ActiveModel {
        name_key: Set(text::fold(&name)),
        name: Set(name.clone()),
        ..Default::default()
    };
    let renamed = author::Entity::update_many()
        .set(author)
        .filter(author::Column::Id.eq(id))
        .exec_with_returning(db)
        .await
        .map_err(|error| Constraint::AuthorName.conflict_or(error, || taken(&name)))?;
    let author = renamed.into_iter().next().ok_or_else(|| Error::NotFound("the author".into()))?;
    reindex_books(db, id).await?;
    Ok(author)
}

/// Deletes an author of no book.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::Conflict`] while books refer to the author.
pub async fn delete<C: ConnectionTrait>(db: &C, id: i64) -> Result<()> {
    let books =
        book_author::Entity::find().filter(book_author::Column::AuthorId.eq(id)).count(db).await?;
    let in_use = |books: &str| format!("the author is named by {books}; change those first");
    match books {
        0 => {}
        1 => return Err(Error::Conflict(in_use("1 book"))),
        n => return Err(Error::Conflict(in_use(&format!("{n} books")))),
    }
    let deleted = author::Entity::delete_by_id(id)
        .exec(db)
        .await
        .map_err(|error| Constraint::AuthorOfBook.conflict_or(error, || in_use("a book")))?;
    if deleted.rows_affected == 0 {
        return Err(Error::NotFound("the author".into()));
    }
    Ok(())
}

/// Not in order: sorting takes PostgreSQL a tenth of the statement's time, and us next to none.
fn of_books_sql(which: &str) -> String {
    format!(
        "SELECT {}, book_author.book_id, book_author.position FROM book_author \
         JOIN author ON author.id = book_author.author_id WHERE book_author.book_id {which}",
        author::Model::COLUMNS
    )
}
static OF_BOOKS_POSTGRES: LazyLock<String> = LazyLock::new(|| of_books_sql("= ANY($1)"));
static OF_BOOKS_SQLITE: LazyLock<String> =
    LazyLock::new(|| of_books_sql("IN (SELECT value FROM json_each($1))"));

/// The authors of each of these books, in order.
///
/// # Errors
/// If the database fails.
pub async fn of_books<C: ConnectionTrait>(
    db: &C,
    books: &[i64],
) -> Result<HashMap<i64, Vec<author::Model>>> {
    let (backend, count) = (db.get_database_backend(), books.len());
    let (sql, books) = match backend {
        DbBackend::Postgres => (&*OF_BOOKS_POSTGRES, Value::from(books.to_vec())),
        _ => (&*OF_BOOKS_SQLITE, serde_json::json!(books).to_string().into()),
    };
    let rows = db.query_all_raw(Statement::from_sql_and_values(backend, sql, [books])).await?;
    let mut authors = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut columns = Columns::of(row);
        let author = author::Model::read(&mut columns)?;
        let position: (i64, i32) = (columns.next()?, columns.next()?);
        authors.push((position, author));
    }
    authors.sort_unstable_by_key(|(position, _)| *position);
    let mut of_book: HashMap<i64, Vec<author::Model>> = HashMap::with_capacity(count);
    for ((book, _), author) in authors {
        of_book.entry(book).or_default().push(author);
    }
    Ok(of_book)
}

/// A page of the books of each of these authors, all in one statement.
///
/// # Errors
/// If the database fails.
pub async fn books_of<C: ConnectionTrait>(
    db: &C,
    authors: &[i64],
    order: BookOrder,
    args: &PageArgs,
) -> Result<HashMap<i64, Page<book::Model>>> {
    let (author_id, row_number, ranked) = ("author_id", "row_number", Alias::new("ranked"));
    let (terms, direction) = order.terms(args);
    let mut per_author = WindowStatement::partition_by(book_author::Column::AuthorId);
    for term in terms {
        per_author.order_by_expr(term, direction.clone());
    }
    let mut select = book::Entity::find().inner_join(book_author::Entity);
    let select = QuerySelect::query(&mut select);
    select
        .column((book_author::Entity, book_author::Column::AuthorId))
        .expr_window_as(Func::cust("ROW_NUMBER"), per_author, row_number)
        .and_where(eq_any(
            db.get_database_backend(),
            (book_author::Entity, book_author::Column::AuthorId),
            authors,
        ));
    if let Some(condition) = order.seek_predicate(args) {
        select.and_where(condition);
    }
    let rows = db
        .query_all(
            Query::select()
                .expr(Expr::cust("*"))
                .from_subquery(select.take(), ranked)
                .and_where(Expr::col(row_number).lte(args.limit + 1))
                .order_by(author_id, Order::Asc)
                .order_by(row_number, Order::Asc),
        )
        .await?;
    let mut of_author: HashMap<i64, Vec<book::Model>> = HashMap::new();
    for row in rows {
        let books = of_author.entry(row.try_get("", author_id)?).or_default();
        books.push(book::Model::from_query_result(&row, "")?);
    }
    Ok(authors
        .iter()
        .map(|id| {
            let books = of_author.remove(id).unwrap_or_default();
            (*id, Page::new(books, args, |book| order.cursor(book)))
        })
        .collect())
}

/// How many books each of these authors has.
///
/// # Errors
/// If the database fails.
pub async fn count_books<C: ConnectionTrait>(db: &C, authors: &[i64]) -> Result<HashMap<i64, u64>> {
    let column = (book_author::Entity, book_author::Column::AuthorId);
    let counts: Vec<(i64, i64)> = book_author::Entity::find()
        .select_only()
        .column(book_author::Column::AuthorId)
        .column_as(book_author::Column::BookId.count(), "books")
        .filter(eq_any(db.get_database_backend(), column, authors))
        .group_by(book_author::Column::AuthorId)
        .into_tuple()
        .all(db)
        .await?;
    Ok(counts.into_iter().map(|(id, n)| (id, n.unsigned_abs())).collect())
}

/// Brings the search entries of an author's books up to date, some hundred at a time.
async fn reindex_books<C: ConnectionTrait>(db: &C, author: i64) -> Result<()> {
    let mut after = 0;
    loop {
        let books = book::Entity::find()
            .inner_join(book_author::Entity)
            .filter(book_author::Column::AuthorId.eq(author))
            .filter(book::Column::Id.gt(after))
            .order_by_asc(book::Column::Id)
            .limit(500)
            .all(db)
            .await?;
        let Some(last) = books.last() else { return Ok(()) };
        after = last.id;
        let ids: Vec<i64> = books.iter().map(|book| book.id).collect();
        let authors = of_books(db, &ids).await?;
        let entries: Vec<search::Entry> = books
            .iter()
            .map(|book| search::Entry::new(book, authors.get(&book.id).map_or(&[], Vec::as_slice)))
            .collect();
        search::index(db, &entries).await?;
    }
}

/// The condition that an author's name contains `part`, whatever its case, accents and special letters.
#[must_use]
pub fn name_contains(part: &str) -> Expr {
    contains((author::Entity, author::Column::NameKey), part)
}

/// A name with its spaces tidied.
///
/// # Errors
/// [`Error::Invalid`] if nothing of it is left or it is too long.
fn tidy_name(name: &str) -> Result<String> {
    let mut validator = Validator::default();
    let name = validator.text("name", name, MAX_NAME);
    validator.finish(name)
}

fn to_insert(name: String) -> author::ActiveModel {
    author::ActiveModel { id: NotSet, name_key: Set(text::fold(&name)), name: Set(name) }
}

fn taken(name: &str) -> String {
    format!("there is already an author named {name}")
}
