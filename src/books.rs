//! The catalogue: find, list, search, create, update, delete and import, on any
//! `ConnectionTrait` and with no GraphQL. Whoever calls a function that writes
//! gives it a transaction, so that a book, its authors and its search entry
//! change together or not at all.

pub mod authors;
mod constraint;
pub mod filter;
pub mod import;
pub mod input;
mod insert;
pub mod isbn;
pub mod metrics;
pub mod order;
pub mod page;
mod rows;
pub mod search;
pub mod store;
pub mod text;
