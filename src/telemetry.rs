//! What the service tells about itself; this part knows nothing of books.
//!
//! Sources, one complete file each: [`http`], [`websocket`], [`graphql`], [`database`], [`runtime`],
//! [`process`]. What they may record stands in [`names`]. Where it goes is below [`export`].

pub mod client_text;
pub mod database;
pub mod exception;
pub mod export;
pub mod graphql;
pub mod http;
pub mod intern;
pub mod names;
pub mod process;
pub mod runtime;
pub mod series;
pub mod trace_context;
pub mod upkeep;
pub mod websocket;
