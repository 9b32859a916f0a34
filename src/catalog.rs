//! The catalog: find, list, search, create, update, delete and import, on any
//! `ConnectionTrait` and with no GraphQL. Whoever calls a function that writes
//! gives it a transaction, so that a book, its authors and its search entry
//! change together or not at all.

pub mod authors;
pub mod books;
pub mod changes;
mod constraint;
pub mod filter;
pub mod import;
mod language;
pub mod metrics;
pub mod pagination;
mod rows;
pub mod search;
pub mod text;
pub mod validation;
