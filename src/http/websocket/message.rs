//! The messages of the protocol.

use async_graphql::{Response, ServerError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_tungstenite::tungstenite::{
    Bytes, Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use super::close::{End, Reason};
use crate::http::graphql::Rendered;

/// Bytes of a frame. A larger answer goes in several, since the library keeps what it once needed
/// to write one.
const FRAME: usize = 64 * 1024;

/// A JSON object that a message may bring along.
pub type Payload = Map<String, Value>;

/// Messages from clients.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// `connection_init`
    ConnectionInit {
        /// Such as a token.
        #[serde(default)]
        payload: Option<Payload>,
    },
    /// `ping`
    Ping {
        /// Comes back with the response.
        #[serde(default)]
        payload: Option<Payload>,
    },
    /// `pong`
    Pong {
        /// Ignored.
        #[serde(default, rename = "payload")]
        _payload: Option<Payload>,
    },
    /// `subscribe`: runs an operation.
    Subscribe {
        /// The client's id of the operation.
        id: String,
        /// The parameters, as over HTTP.
        payload: Payload,
    },
    /// `complete`: the client ends an operation.
    Complete {
        /// The client's id of the operation.
        id: String,
    },
}

impl ClientMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// If it is none of the protocol's. The library's own words would name our types.
    pub fn read(text: &str) -> Result<Self, End> {
        let message = serde_json::from_str(text).map_err(|_| {
            let text = "Not a message of the protocol graphql-transport-ws.";
            End::because(Reason::BadMessage, text.into())
        })?;
        match &message {
            Self::Subscribe { id, .. } if id.is_empty() => {
                Err(End::because(Reason::BadMessage, "The id is empty.".into()))
            }
            _ => Ok(message),
        }
    }
}

/// Messages from the service.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    /// `connection_ack`
    ConnectionAck,
    /// `pong`
    Pong {
        /// That of the ping.
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Payload>,
    },
    /// `next`: the response to an operation.
    Next {
        /// The client's id of the operation.
        id: &'a str,
        /// As over HTTP.
        payload: Rendered<'a>,
    },
    /// `error`: the operation was not executed.
    Error {
        /// The client's id of the operation.
        id: &'a str,
        /// The errors.
        payload: &'a [ServerError],
    },
    /// `complete`: the operation has ended.
    Complete {
        /// The client's id of the operation.
        id: &'a str,
    },
}

impl ServerMessage<'_> {
    /// The message as JSON.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        // Its keys are strings, and no part of it fails to be serialized.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// The message with a subscription's response.
#[must_use]
pub fn next_message(id: &str, json: &[u8]) -> Bytes {
    // Fails never: it is a string.
    let id = serde_json::to_vec(id).unwrap_or_default();
    let parts: [&[u8]; 5] = [br#"{"type":"next","id":"#, &id, br#","payload":"#, json, b"}"];
    parts.concat().into()
}

/// The message that says why an operation was not executed.
#[must_use]
pub fn error_message(id: &str, response: &Response) -> Bytes {
    ServerMessage::Error { id, payload: &response.errors }.to_json()
}

/// The frames that a message is sent in.
pub fn frames(text: &Bytes) -> impl Iterator<Item = Message> {
    (0..text.len()).step_by(FRAME).map(|start| {
        let kind = if start == 0 { Data::Text } else { Data::Continue };
        let end = text.len().min(start + FRAME);
        let part = text.slice(start..end);
        Message::Frame(Frame::message(part, OpCode::Data(kind), end == text.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_other_messages_without_naming_rust_types() {
        for text in [
            "",
            "[]",
            "null",
            "\"ping\"",
            "{}",
            r#"{"type":"start","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","payload":{"query":"{ a }"}}"#,
            r#"{"type":"subscribe","id":1,"payload":{"query":"{ a }"}}"#,
            r#"{"type":"subscribe","id":"","payload":{"query":"{ a }"}}"#,
            r#"{"type":"subscribe","id":"1","payload":"{ a }"}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"ping","payload":1}"#,
        ] {
            let end = ClientMessage::read(text).unwrap_err();
            assert_eq!(end.reason, Reason::BadMessage, "{text}");
            assert!(!format!("{end:?}").contains("ClientMessage"), "{end:?}");
        }
    }

    #[test]
    fn splits_a_large_message_into_frames() {
        let id = "x".repeat(2 * FRAME);
        let message = ServerMessage::Complete { id: &id }.to_json();
        let frames: Vec<_> = super::frames(&message).collect();
        let (mut text, mut kinds) = (Vec::new(), Vec::new());
        for frame in &frames {
            let Message::Frame(frame) = frame else { panic!("{frame:?}") };
            kinds.push((frame.header().opcode, frame.header().is_final));
            text.extend_from_slice(frame.payload());
        }
        let (first, next) = (OpCode::Data(Data::Text), OpCode::Data(Data::Continue));
        assert_eq!(kinds, [(first, false), (next, false), (next, true)]);
        let value: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["id"], id);
    }
}
