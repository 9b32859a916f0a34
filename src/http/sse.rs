//! GraphQL over server-sent events, by the protocol `graphql-sse` (PROTOCOL.md of graphql-sse) in its mode of
//! distinct connections: the response to a request is a stream of `next` events, and ends with `complete`.

use std::{convert::Infallible, sync::Arc};

use async_graphql::Response as GraphqlResponse;
use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use graphql_telemetry::graphql::EndReason;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    error::{Code, Error},
    graphql::execution::{errors::request_error, subscriptions::Subscription},
    http::{
        AppState,
        graphql::{Client, Rendered, render},
    },
    security::{Caller, RECHECK},
};

/// What a stream begins with, so that its head is sent at once, and what keeps it from looking dead.
const COMMENT: &[u8] = b":\n\n";
const COMPLETE: &[u8] = b"event: complete\ndata:\n\n";

/// A subscription's events as the response to its request.
pub(super) fn stream(
    state: Arc<AppState>,
    client: Client,
    caller: Caller,
    subscription: Subscription,
) -> Response {
    let draining = client.connection.as_ref().map(|it| it.draining.clone()).unwrap_or_default();
    let now = Instant::now();
    let stream = Stream {
        ping_at: now,
        checked: now,
        check_at: now,
        state,
        client,
        caller,
        draining,
        subscription: Some(subscription),
    };
    let stream = stream.with_next_check();
    let parts = stream::unfold(stream, async |mut stream| {
        let part = stream.next().await?;
        Some((Ok::<_, Infallible>(part), stream))
    });
    response(Body::from_stream(parts))
}

/// The response to an operation that is no subscription.
pub(super) async fn single(state: &Arc<AppState>, response: GraphqlResponse) -> Response {
    let json = render(state.clone())(response).await;
    self::response(Body::from([&next_event(&json)[..], COMPLETE].concat()))
}

fn response(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would collect events until it has a page of them.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

fn next_event(json: &[u8]) -> Bytes {
    // JSON has no line breaks but in strings, where they are escaped.
    [b"event: next\ndata: ", json, b"\n\n"].concat().into()
}

struct Stream {
    state: Arc<AppState>,
    client: Client,
    /// Who subscribed.
    caller: Caller,
    draining: CancellationToken,
    ping_at: Instant,
    /// When the client's token was last looked at.
    checked: Instant,
    /// When it is looked at again.
    check_at: Instant,
    /// Until the end.
    subscription: Option<Subscription>,
}

impl Stream {
    fn with_next_check(mut self) -> Self {
        self.plan_check(self.caller);
        self
    }

    fn plan_check(&mut self, caller: Caller) {
        let period = self.state.limits.socket_ping_interval;
        let until = caller.remaining().map_or(period, |remaining| remaining.min(period));
        self.checked = Instant::now();
        self.check_at = self.checked + until;
    }

    /// What is sent next; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let period = self.state.limits.socket_ping_interval;
        loop {
            let subscription = self.subscription.as_mut()?;
            tokio::select! {
                biased;
                () = self.draining.cancelled() => return Some(self.end(EndReason::Drain, None)),
                () = sleep_until(self.check_at) => {
                    if let Some(end) = self.check().await {
                        return Some(end);
                    }
                }
                json = subscription.next() => {
                    self.ping_at = Instant::now() + period;
                    if self.checked.elapsed() > RECHECK
                        && let Some(end) = self.check().await
                    {
                        return Some(end);
                    }
                    return Some(next_event(&json));
                }
                () = sleep_until(self.ping_at) => {
                    self.ping_at = Instant::now() + period;
                    return Some(Bytes::from_static(COMMENT));
                }
            }
        }
    }

    /// The end of the stream, if its client may not have it any more.
    async fn check(&mut self) -> Option<Bytes> {
        let error = match self.client.authenticate(&self.state).await {
            Ok(caller) if caller.scopes() == self.caller.scopes() => {
                self.plan_check(caller);
                return None;
            }
            Ok(_) => Error::Client(Code::Forbidden, "The token's scopes have changed.".into()),
            Err(refused) => Error::Client(Code::Unauthenticated, refused.to_string()),
        };
        Some(self.end(EndReason::Unauthorized, Some(error)))
    }

    fn end(&mut self, reason: EndReason, error: Option<Error>) -> Bytes {
        if let Some(subscription) = self.subscription.take() {
            subscription.end(reason);
        }
        let Some(error) = error else { return Bytes::from_static(COMPLETE) };
        let json = serde_json::to_vec(&Rendered::from(&request_error(error))).unwrap_or_default();
        [&next_event(&json)[..], COMPLETE].concat().into()
    }
}
