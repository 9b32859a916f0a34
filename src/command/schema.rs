//! `colophon schema`

use std::process::ExitCode;

use super::print;
use crate::{
    config::limits::DocumentLimits,
    graphql::{CatalogueSchema, Purpose},
};

/// Prints the GraphQL schema.
#[must_use]
pub fn run(limits: &DocumentLimits) -> ExitCode {
    print(&CatalogueSchema::new(limits, false, Purpose::Execution).sdl())
}
