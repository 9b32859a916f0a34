//! The body of a response, which reports when all of it has been handed to hyper.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::http::server::{connection_limiter::PeerPermit, connection_state::ConnectionState};

pin_project! {
    /// A body that updates its connection's state when it is dropped, which hyper does as soon
    /// as it has its last frame.
    pub struct TrackedBody {
        #[pin]
        body: Body,
        _completion: Completion,
        _peer_permit: Option<Arc<PeerPermit>>,
    }
}

struct Completion(Arc<ConnectionState>);

impl Drop for Completion {
    fn drop(&mut self) {
        self.0.response_completed();
    }
}

impl TrackedBody {
    /// The body of a response on a connection, which counts for its client by `peer_permit`.
    pub fn new(
        body: Body,
        state: Arc<ConnectionState>,
        peer_permit: Option<Arc<PeerPermit>>,
    ) -> Self {
        Self { body, _completion: Completion(state), _peer_permit: peer_permit }
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
