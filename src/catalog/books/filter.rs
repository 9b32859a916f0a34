//! Which books a list has.

use chrono::{DateTime, Datelike, Utc};
use entity::{author, book, book_author};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Query};

use crate::{
    catalog::{
        authors::name_contains,
        filter::{Range, contains, within},
        language,
    },
    error::{Error, Result},
};

/// Conditions that a book must meet, all of them.
#[derive(Clone, Debug, Default)]
pub struct BookFilter {
    /// Part of the title, whatever its case, accents and special letters.
    pub title_contains: Option<String>,
    /// Part of the name of one of its authors, whatever its case, accents and special letters.
    pub author: Option<String>,
    /// A language tag; `en` also finds `en-US`.
    pub language: Option<String>,
    /// Its year of publication.
    pub year: Range<i32>,
    /// Its number of pages.
    pub pages: Range<i32>,
    /// When it was entered.
    pub created: Range<DateTime<Utc>>,
}

impl BookFilter {
    /// The SQL condition.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the language is no language tag, or a time is out of range.
    pub fn condition(&self) -> Result<Condition> {
        let mut all = Condition::all();
        if let Some(part) = &self.title_contains {
            all = all.add(contains((book::Entity, book::Column::TitleKey), part));
        }
        if let Some(part) = &self.author {
            all = all.add(written_by(part));
        }
        if let Some(tag) = &self.language {
            all = all.add(in_language(tag)?);
        }
        let year = Expr::col((book::Entity, book::Column::PublishedYear));
        let pages = Expr::col((book::Entity, book::Column::Pages));
        let created = Expr::col((book::Entity, book::Column::CreatedAt));
        all = within(all, &year, self.year);
        all = within(all, &pages, self.pages);
        for (end, time) in [("from", self.created.min), ("to", self.created.max)] {
            // Neither database takes all years that the driver's type has.
            if time.is_some_and(|time| !(0..=9999).contains(&time.year())) {
                let message = "must be in the years 0000 to 9999";
                return Err(Error::invalid(["filter", "created", end], message));
            }
        }
        Ok(within(all, &created, self.created))
    }
}

fn written_by(part: &str) -> Expr {
    let link = |column| (book_author::Entity, column);
    Expr::exists(
        Query::select()
            .expr(Expr::val(1))
            .from(book_author::Entity)
            .inner_join(
                author::Entity,
                Expr::col((author::Entity, author::Column::Id))
                    .equals(link(book_author::Column::AuthorId)),
            )
            .and_where(
                Expr::col(link(book_author::Column::BookId))
                    .equals((book::Entity, book::Column::Id)),
            )
            .and_where(name_contains(part))
            .take(),
    )
}

fn in_language(tag: &str) -> Result<Condition> {
    let tag = language::tag(tag).ok_or_else(|| {
        Error::invalid(["filter", "language"], "must be a language tag such as en or pt-BR")
    })?;
    let column = || Expr::col((book::Entity, book::Column::Language));
    Ok(Condition::any().add(column().like(format!("{tag}-%"))).add(column().eq(tag)))
}
