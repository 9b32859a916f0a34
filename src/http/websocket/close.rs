//! Why a socket is closed.

use std::io;

use tokio_tungstenite::tungstenite::{self, error::ProtocolError, protocol::CloseFrame};

/// Bytes of the text of a close frame (RFC 6455, 5.5), less those of the code.
const LONGEST_TEXT: usize = 123;

/// Why a socket was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The client closed it.
    Client,
    /// The connection broke.
    Gone,
    /// The service ends.
    GoingAway,
    /// Nothing was asked for long.
    Idle,
    /// The client gave no sign of life.
    Dead,
    /// The client does not take its responses.
    Slow,
    /// The client does not keep to RFC 6455.
    BrokenFrame,
    /// A text is no UTF-8.
    BrokenText,
    /// A message is larger than a request may be.
    TooLarge,
    /// A message is none of the protocol's.
    BadMessage,
    /// An operation was sent before `connection_ack`.
    Unauthorized,
    /// The token of `connection_init` is not taken, or not any more.
    Forbidden,
    /// The client does not speak the protocol.
    UnknownProtocol,
    /// No `connection_init` came in time.
    InitTimeout,
    /// An operation has the id of another that is running.
    IdTaken,
    /// A second `connection_init` came.
    SecondInit,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::Client,
        Self::Gone,
        Self::GoingAway,
        Self::Idle,
        Self::Dead,
        Self::Slow,
        Self::BrokenFrame,
        Self::BrokenText,
        Self::TooLarge,
        Self::BadMessage,
        Self::Unauthorized,
        Self::Forbidden,
        Self::UnknownProtocol,
        Self::InitTimeout,
        Self::IdTaken,
        Self::SecondInit,
    ];

    /// What telemetry calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gone => "gone",
            Self::GoingAway => "going_away",
            Self::Idle => "idle",
            Self::Dead => "dead",
            Self::Slow => "slow",
            Self::BrokenFrame => "broken_frame",
            Self::BrokenText => "broken_text",
            Self::TooLarge => "too_large",
            Self::BadMessage => "bad_message",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::UnknownProtocol => "unknown_protocol",
            Self::InitTimeout => "init_timeout",
            Self::IdTaken => "id_taken",
            Self::SecondInit => "second_init",
        }
    }

    /// Whether the client is gone, so that no closing handshake is possible.
    #[must_use]
    pub const fn is_silent(self) -> bool {
        matches!(self, Self::Gone | Self::Dead | Self::Slow)
    }

    /// The code and the text that the client gets.
    const fn frame(self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::Client | Self::Gone | Self::Dead | Self::Slow => return None,
            Self::Idle => (1000, "Nothing was asked for long"),
            Self::GoingAway => (1001, "The service ends"),
            Self::BrokenFrame => (1002, "Not WebSocket"),
            Self::BrokenText => (1007, "Not UTF-8"),
            Self::TooLarge => (1009, "The message is too large"),
            Self::BadMessage => (4400, "Bad message"),
            Self::Unauthorized => (4401, "Unauthorized"),
            Self::Forbidden => (4403, "Forbidden"),
            Self::UnknownProtocol => (4406, "Subprotocol not acceptable"),
            Self::InitTimeout => (4408, "Connection initialisation timeout"),
            Self::IdTaken => (4409, "Subscriber already exists"),
            Self::SecondInit => (4429, "Too many initialisation requests"),
        })
    }
}

impl From<tungstenite::Error> for Reason {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Capacity(_) => Self::TooLarge,
            tungstenite::Error::Utf8(_) => Self::BrokenText,
            // The stream gave up a client that does not take what it is sent.
            tungstenite::Error::Io(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::TimedOut | io::ErrorKind::QuotaExceeded
                ) =>
            {
                Self::Slow
            }
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Gone,
            tungstenite::Error::Protocol(_) => Self::BrokenFrame,
            _ => Self::Gone,
        }
    }
}

/// The end of a session.
#[derive(Debug)]
pub struct End {
    /// Why.
    pub reason: Reason,
    /// The text for the client, in place of the reason's own.
    text: Option<String>,
}

impl End {
    /// An end that says more than its reason.
    pub(super) const fn because(reason: Reason, text: String) -> Self {
        Self { reason, text: Some(text) }
    }

    /// What the client gets, unless it takes nothing any more or said goodbye itself.
    pub(super) fn frame(&self) -> Option<CloseFrame> {
        let (code, text) = self.reason.frame()?;
        let text = self.text.as_deref().unwrap_or(text);
        let reason = text[..text.floor_char_boundary(LONGEST_TEXT)].into();
        Some(CloseFrame { code: code.into(), reason })
    }
}

impl<R: Into<Reason>> From<R> for End {
    fn from(reason: R) -> Self {
        Self { reason: reason.into(), text: None }
    }
}
