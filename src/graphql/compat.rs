//! Work-arounds for async-graphql.

pub mod complete;
pub mod resolve_inline;
