//! Clients that are slow, too many or too eager, and signals in the middle of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod connections;
mod http;
mod overload;
mod shutdown;
mod slow;

use std::sync::LazyLock;

use tokio::sync::{Mutex, MutexGuard};

/// Each of these tests takes the whole machine; one that runs beside another measures that.
async fn turn() -> MutexGuard<'static, ()> {
    static TURN: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
    TURN.lock().await
}
