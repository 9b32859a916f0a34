//! A socket with time limits: messages are sent in time, or the socket is closed.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncWriteExt, copy, sink},
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::{self, Bytes, Message};
use tokio_util::sync::CancellationToken;

use crate::http::websocket::{
    Socket,
    close::{End, Reason},
    message::frames,
};

/// How long a response may still be sent while the service drains.
const DRAIN_WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client may take to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A socket with the time limits of sending.
pub struct Transport {
    socket: Socket,
    answer_timeout: Duration,
    draining: CancellationToken,
}

impl Transport {
    /// A transport over `socket`. `answer_timeout` limits sending, and [`DRAIN_WRITE_TIMEOUT`] does while the
    /// service drains.
    pub const fn new(
        socket: Socket,
        answer_timeout: Duration,
        draining: CancellationToken,
    ) -> Self {
        Self { socket, answer_timeout, draining }
    }

    /// Receives the next message. Cancel-safe.
    pub async fn receive(&mut self) -> Option<tungstenite::Result<Message>> {
        self.socket.next().await
    }

    /// Sends messages, one after the other.
    pub async fn send(&mut self, messages: &[Bytes]) -> Result<(), End> {
        let frames: Vec<_> = messages.iter().flat_map(frames).collect();
        self.send_frames(frames).await
    }

    /// Sends a ping.
    pub async fn ping(&mut self) -> Result<(), End> {
        self.send_frames([Message::Ping(Bytes::new())]).await
    }

    async fn send_frames(&mut self, frames: impl IntoIterator<Item = Message>) -> Result<(), End> {
        let Self { socket, answer_timeout, draining } = self;
        let sending = async {
            for frame in frames {
                socket.feed(frame).await?;
            }
            socket.flush().await
        };
        let hurried = async {
            draining.cancelled().await;
            sleep(DRAIN_WRITE_TIMEOUT).await;
        };
        tokio::select! {
            sent = sending => Ok(sent?),
            () = sleep(*answer_timeout) => Err(Reason::Slow.into()),
            () = hurried => Err(Reason::Slow.into()),
        }
    }

    /// Closes the socket by the closing handshake, within [`CLOSE_TIMEOUT`].
    pub async fn close(self, end: &End) {
        if end.reason.is_silent() {
            return;
        }
        let _ = timeout(CLOSE_TIMEOUT, close_handshake(self.socket, end)).await;
    }
}

async fn close_handshake(mut socket: Socket, end: &End) -> tungstenite::Result<()> {
    match end.frame() {
        Some(frame) => socket.send(Message::Close(Some(frame))).await?,
        // The library has a response to the client's own goodbye ready.
        None => socket.flush().await?,
    }
    while let Some(Ok(_)) = socket.next().await {}
    // A connection that is closed with bytes unread is reset, and the client may then not get to
    // read why: what it still sends is taken until it is done.
    let stream = socket.get_mut();
    stream.shutdown().await?;
    copy(stream, &mut sink()).await?;
    Ok(())
}
