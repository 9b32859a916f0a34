//! `colophon schema`

use std::process::ExitCode;

use super::print;
use crate::graphql::{self, guard::Limits};

/// Prints the GraphQL schema.
#[must_use]
pub fn run(limits: &Limits) -> ExitCode {
    print(&graphql::sdl(&graphql::schema(limits).finish()))
}
