//! Colophon: an observable GraphQL service, a catalog of books.
//!
//! From the top down; ARCHITECTURE.md follows one request through these modules.
//!
//! | module | what |
//! |---|---|
//! | [`cli`] | the commands |
//! | [`config`] | the settings: flags, environment variables, files |
//! | `app` | builds the service of the settings, serves, drains |
//! | `http` | GraphQL over HTTP and WebSocket, the playground, the accept loop |
//! | `admin`, `shutdown` | the admin listener; signals |
//! | [`graphql`] | the schema, and the engine that executes operations |
//! | [`catalog`] | the domain, on any database connection, without GraphQL |
//! | [`security`] | authentication and scopes |
//! | [`database`] | pool, health, migrations |
//! | [`error`] | errors, their codes, and what of them clients see |

// See build.rs, which says what to do.
#[cfg(not(any(tokio_unstable, doc)))]
compile_error!("the service needs `--cfg tokio_unstable`");

mod admin;
mod app;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod database;
pub mod error;
pub mod graphql;
mod http;
pub mod security;
mod shutdown;
