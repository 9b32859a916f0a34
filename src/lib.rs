//! Colophon: a GraphQL catalog of books that can tell how each of its responses was made.
//!
//! The way in is [`app`], which builds everything from [`config`]:
//!
//! - [`catalog`]: the catalog, on any database connection, with no GraphQL;
//! - [`graphql`]: the schema over it, the guard before the parser, and the running of one operation;
//! - [`http`]: GraphQL over HTTP, the playground, and the accept loop;
//! - [`admin`]: the second listener, for operators;
//! - [`security`]: who may ask, and for what;
//! - [`database`]: connecting and migrating;
//! - [`shutdown`]: the signals that end the service;
//! - [`error`]: every error, its code, and what a client may see of it.

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
