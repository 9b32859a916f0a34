//! From a request to its response: documents, concurrency, the engine, errors.

mod concurrency;
pub mod documents;
pub mod engine;
pub(crate) mod errors;
pub mod subscriptions;
