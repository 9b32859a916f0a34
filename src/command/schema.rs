//! `colophon schema`

use std::process::ExitCode;

use super::print;
use crate::graphql::{CatalogueSchema, Purpose, guard::Limits};

/// Prints the GraphQL schema.
#[must_use]
pub fn run(limits: &Limits) -> ExitCode {
    print(&CatalogueSchema::new(limits, false, Purpose::Execution).sdl())
}
