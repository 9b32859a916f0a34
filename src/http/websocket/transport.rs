//! A socket with its time limits: what is said on it goes out in time, or the socket ends.

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

/// How long a client may go on taking a response once the service wants to end.
const DRAIN_WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client may take to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The way to a client and back.
pub struct Transport {
    socket: Socket,
    answer_timeout: Duration,
    draining: CancellationToken,
}

impl Transport {
    /// The way by `socket`. A client may take so long to receive a response, and less when the
    /// service is draining.
    pub const fn new(
        socket: Socket,
        answer_timeout: Duration,
        draining: CancellationToken,
    ) -> Self {
        Self { socket, answer_timeout, draining }
    }

    /// The next message. May be given up and asked for again.
    pub async fn receive(&mut self) -> Option<tungstenite::Result<Message>> {
        self.socket.next().await
    }

    /// Sends messages, one after the other.
    pub async fn send(&mut self, messages: &[Bytes]) -> Result<(), End> {
        let frames: Vec<_> = messages.iter().flat_map(frames).collect();
        self.send_frames(frames).await
    }

    /// Asks for a sign of life.
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

    /// Closes the socket in good order, as far as its client takes part.
    pub async fn close(self, end: &End) {
        if end.reason.is_silent() {
            return;
        }
        // Whoever does not wait for it, or takes too long, is left.
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
