//! `colophon schema`

use crate::graphql::{self, guard::Limits};

/// Prints the GraphQL schema.
pub fn run(limits: &Limits) {
    print!("{}", graphql::sdl(&graphql::schema(limits)));
}
