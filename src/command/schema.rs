//! `colophon schema`

use std::process::ExitCode;

use super::print;
use crate::{
    config::limits::DocumentLimits,
    graphql::{CatalogueSchema, Exposure, Purpose},
};

/// As in `schema.graphql`.
const COMMITTED: Exposure = Exposure { lab: false, told: true };

/// Prints the GraphQL schema.
#[must_use]
pub fn run(limits: &DocumentLimits) -> ExitCode {
    print(&CatalogueSchema::new(limits, COMMITTED, Purpose::Execution).sdl())
}
