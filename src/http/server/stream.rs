//! A connection's stream, which disconnects a client that does not receive its response: after a time, or when
//! others need the memory.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::sleep,
};

use crate::http::server::{connection_state::ConnectionState, response_budget::ResponseBudget};

/// A stream whose writing fails if what is written is not taken in time, or as soon as the budget
/// wants its client cut off.
pub struct TimedStream {
    socket: TcpStream,
    state: Arc<ConnectionState>,
    limit: Duration,
    budget: ResponseBudget,
    /// Runs from when the socket's buffer is full until all is sent.
    write_deadline: Option<WriteDeadline>,
}

/// Ends with the kind of the error when its client is disconnected.
type WriteDeadline = Pin<Box<dyn Future<Output = io::ErrorKind> + Send>>;

async fn write_deadline(limit: Duration, budget: ResponseBudget) -> io::ErrorKind {
    let candidate = budget.register_slow();
    tokio::select! {
        () = sleep(limit) => io::ErrorKind::TimedOut,
        () = candidate.evicted() => io::ErrorKind::QuotaExceeded,
    }
}

impl TimedStream {
    /// A stream over `socket` that updates `state` when something is received and when all is sent.
    pub fn new(
        socket: TcpStream,
        state: Arc<ConnectionState>,
        limit: Duration,
        budget: ResponseBudget,
    ) -> Self {
        Self { socket, state, limit, budget, write_deadline: None }
    }

    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            return written;
        }
        let Self { limit, budget, write_deadline: waited, .. } = self;
        let waited = waited.get_or_insert_with(|| Box::pin(write_deadline(*limit, budget.clone())));
        let error = ready!(waited.as_mut().poll(context));
        self.write_deadline = None;
        // Otherwise the kernel would keep sending what it has for many minutes.
        let _ = self.socket.set_zero_linger();
        Poll::Ready(Err(error.into()))
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.state.received();
        }
        read
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// Called when there is nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        if let Poll::Ready(Ok(())) = flushed {
            self.write_deadline = None;
            self.state.response_sent();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
