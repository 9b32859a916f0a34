//! `colophon schema`

use std::process::ExitCode;

use crate::{
    cli::print,
    graphql::{CatalogSchema, SchemaOptions},
};

/// As in `schema.graphql`.
const COMMITTED: SchemaOptions = SchemaOptions { lab: false, introspection: true };

/// Prints the GraphQL schema.
#[must_use]
pub fn run() -> ExitCode {
    print(&CatalogSchema::new(COMMITTED).sdl())
}
