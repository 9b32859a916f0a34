//! `colophon schema`

use std::process::ExitCode;

use crate::{
    cli::print,
    graphql::{CatalogueSchema, Exposure},
};

/// As in `schema.graphql`.
const COMMITTED: Exposure = Exposure { lab: false, introspection: true };

/// Prints the GraphQL schema.
#[must_use]
pub fn run() -> ExitCode {
    print(&CatalogueSchema::new(COMMITTED).sdl())
}
