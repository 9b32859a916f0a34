//! The layer of tower that traces, measures and logs requests.

use std::{
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
};

use axum::{
    body::HttpBody,
    http::{Request, Response},
};
use opentelemetry::Context;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::span::RequestSpan;

/// A layer for [`Router::layer`](axum::Router::layer) that gives each request a span, the metrics
/// `http.server.*`, one log line, and its response the header `traceresponse`. Traces of callers
/// (`traceparent`) are continued unless `OTEL_PROPAGATORS` says otherwise.
///
/// Routes that are added to the router after the layer are not seen by it.
///
/// ```
/// use axum::{Router, routing::get};
/// use graphql_telemetry::http::TelemetryLayer;
/// let app: Router = Router::new().route("/", get(|| async { "hello" })).layer(TelemetryLayer::new());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TelemetryLayer(());

impl TelemetryLayer {
    /// Returns the layer.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for TelemetryLayer {
    type Service = TelemetryService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TelemetryService { inner }
    }
}

/// A service behind [`TelemetryLayer`].
#[derive(Clone, Debug)]
pub struct TelemetryService<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for TelemetryService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: HttpBody,
    R: HttpBody,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = RequestSpan::start(&request);
        let context = span.context().clone();
        let inner = {
            let _attached = context.clone().attach();
            self.inner.call(request)
        };
        ResponseFuture { inner, context, span: Some(span) }
    }
}

pin_project! {
    /// The response of a [`TelemetryService`].
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        context: Context,
        span: Option<RequestSpan>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: HttpBody,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _attached = this.context.clone().attach();
        let mut result = ready!(this.inner.poll(context));
        if let (Ok(response), Some(span)) = (&mut result, this.span.take()) {
            span.on_response(response);
        }
        Poll::Ready(result)
    }
}
