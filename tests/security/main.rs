//! Who may ask, and what strangers see.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin;
mod browsers;
mod issuer;
mod proxies;
mod scopes;
mod signed;
mod start;
mod tokens;
