//! The schema over the catalog, an entity in a file or folder, and the execution of operations.

pub mod author;
pub mod book;
mod compat;
pub mod connection;
pub mod context;
pub mod dataloader;
pub mod execution;
pub mod inputs;
pub mod lab;
pub mod node;
pub mod schema;

pub use self::schema::{CatalogSchema, SchemaOptions};
