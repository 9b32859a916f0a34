//! `colophon token`

use std::process::ExitCode;

use crate::{
    cli::{fail, print},
    security::{Scope, tokens},
};

/// Prints a fresh token, and the line by which the service knows it.
#[must_use]
pub fn run(name: &str, scopes: &[Scope]) -> ExitCode {
    let Some((token, line)) = tokens::generate(name, scopes) else {
        return fail("the system gives no random numbers");
    };
    print(&format!(
        "# For the client; it is not kept anywhere:\n{token}\n\
         # For the file that COLOPHON_TOKENS_FILE names:\n{line}\n"
    ))
}
