//! Compressed answers.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use tokio::{sync::Semaphore, task::yield_now};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::{
    CompressionLevel,
    compression::{CompressionLayer, predicate::SizeAbove},
};

use crate::http::server::response_budget::{Reservation, ResponseBudget};

/// Bytes from which on it is worth it: a smaller answer fits into one packet anyhow.
const MIN_SIZE: u64 = 1024;
/// What compresses well.
const MEDIA_TYPES: [&str; 6] = [
    "application/graphql-response+json",
    "application/json",
    "application/javascript",
    "application/wasm",
    "image/svg+xml",
    "text/",
];
/// Responses that are compressed at a time. Each takes some megabytes meanwhile.
const AT_A_TIME: usize = 8;
/// Bytes between which others may use the worker: a millisecond of work at most.
const PIECE: usize = 64 * 1024;

/// Compresses answers.
#[derive(Clone, Debug)]
pub struct Compression {
    budget: ResponseBudget,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    turns: Semaphore,
    /// Files of the playground, compressed before.
    files: Mutex<HashMap<(String, HeaderValue), Bytes>>,
}

/// Marks the response as a file that is always the same: an extension of the response.
#[derive(Clone, Debug)]
pub struct StaticFile(pub String);

/// Compressed text, which has its place in the budget until the last of it is sent.
struct Compressed {
    bytes: Vec<u8>,
    _held: Reservation,
}

impl AsRef<[u8]> for Compressed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Compression {
    /// Compresses answers, which then have their place in `budget`.
    #[must_use]
    pub fn new(budget: ResponseBudget) -> Self {
        let shared = Shared { turns: Semaphore::new(AT_A_TIME), files: Mutex::default() };
        Self { budget, shared: Arc::new(shared) }
    }

    /// A response as a client gets it that sent these headers `Accept-Encoding`.
    ///
    /// It is compressed as a whole before any of it is sent: while a slow client took it, the encoder
    /// would keep megabytes that count in no limit. So it has a length, too.
    pub async fn compress(&self, accepted: Vec<HeaderValue>, response: Response) -> Response {
        if !is_worth_it(&response) {
            return response;
        }
        if accepted.is_empty() {
            let mut response = response;
            response.headers_mut().append(header::VARY, header::ACCEPT_ENCODING.into());
            return response;
        }
        let (head, body) = response.into_parts();
        // All there already, so that nothing is waited for or copied.
        let Ok(plain) = to_bytes(body, usize::MAX).await else { return unusable() };
        let status = head.status;
        let mut response =
            encode(accepted, Response::from_parts(head, in_pieces(plain.clone()))).await;
        // `identity;q=0` with nothing that is known makes it 406, though the operation has been done.
        *response.status_mut() = status;
        let Some(encoding) = response.headers().get(header::CONTENT_ENCODING).cloned() else {
            return response.map(|_| Body::from(plain));
        };
        drop(plain);
        let key = response.extensions().get::<StaticFile>().map(|file| (file.0.clone(), encoding));
        let (head, body) = response.into_parts();
        let known = key.as_ref().and_then(|key| self.files().get(key).cloned());
        let bytes = if let Some(bytes) = known {
            bytes
        } else {
            let Ok(bytes) = self.collect(body).await else { return unusable() };
            if let Some(key) = key {
                let bytes = Bytes::from(bytes);
                self.files().insert(key, bytes.clone());
                bytes
            } else {
                let reserved = self.budget.reserve(bytes.len()).await;
                Bytes::from_owner(Compressed { bytes, _held: reserved })
            }
        };
        let length = bytes.len().into();
        let mut response = Response::from_parts(head, Body::from(bytes));
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
        response
    }

    async fn collect(&self, body: Body) -> Result<Vec<u8>, axum::Error> {
        // Never closed.
        let _turn = self.shared.turns.acquire().await.ok();
        let (mut bytes, mut pieces) = (Vec::new(), body.into_data_stream());
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece?);
        }
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    fn files(&self) -> std::sync::MutexGuard<'_, HashMap<(String, HeaderValue), Bytes>> {
        self.shared.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of no use for what is small, and for what is compressed already as images and fonts are.
fn is_worth_it(response: &Response) -> bool {
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.map_or(&b""[..], HeaderValue::as_bytes);
    response.body().size_hint().lower() >= MIN_SIZE
        && MEDIA_TYPES.iter().any(|known| media_type.starts_with(known.as_bytes()))
}

/// A body in pieces, before each of which others may use the worker.
fn in_pieces(bytes: Bytes) -> Body {
    let pieces = stream::unfold(bytes, |mut rest| async move {
        yield_now().await;
        let piece = rest.split_to(rest.len().min(PIECE));
        (!piece.is_empty()).then(|| (Ok::<_, Infallible>(piece), rest))
    });
    // The encoder reads beyond the end.
    Body::from_stream(pieces.fuse())
}

fn unusable() -> Response {
    tracing::error!(name: "http.compression_failed", "an answer cannot be compressed");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Has the library choose the encoding, and say by `Vary` that there was a choice.
async fn encode(accepted: Vec<HeaderValue>, response: Response) -> Response {
    let mut request = Request::new(Body::empty());
    *request.headers_mut() =
        accepted.into_iter().map(|value| (header::ACCEPT_ENCODING, value)).collect::<HeaderMap>();
    let layer = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(MIN_SIZE));
    let mut response = Some(response);
    let answer = service_fn(move |_: Request| {
        let response = response.take().unwrap_or_default();
        async { Ok::<_, Infallible>(response) }
    });
    let Ok(response) = layer.layer(answer).oneshot(request).await;
    response.map(Body::new)
}
