//! One span and one log line for each request.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument, info, info_span};

/// Traces a request and logs it when it is answered.
pub async fn trace(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(String::new, |route| route.as_str().to_owned());
    let span = info_span!("http.request", http.request.method = %method, http.route = route);
    async move {
        let response = next.run(request).await;
        info!(
            name: "http.access",
            {
                http.request.method = %method,
                url.path = path,
                http.response.status_code = response.status().as_u16(),
                duration = started.elapsed().as_secs_f64()
            },
            "answered"
        );
        response
    }
    .instrument(span)
    .await
}
