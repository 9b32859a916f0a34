//! The catalog's tables as SeaORM entities, and nothing else.

pub mod author;
pub mod book;
pub mod book_author;
