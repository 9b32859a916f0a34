//! GraphQL over WebSocket, as clients meet it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod closing;
mod operations;
mod telemetry;
