//! From a request to its response: documents, concurrency, the engine, errors.

pub mod concurrency;
pub mod documents;
pub mod engine;
pub mod errors;
