//! The page at `/`.

use axum::{
    Json,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::assets;

/// What the page may do: load its own files and talk to its own service. Monaco, the editor,
/// writes style elements, hence the one `unsafe-inline`.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    worker-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; \
    style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <title>Colophon</title><h1>Colophon</h1>\
    <p>The service runs and answers GraphQL at <code>/graphql</code>. \
    The playground was not built with it, since npm was missing or failed then: install Node.js \
    with npm, then run <code>make playground</code> and start the service again.</p></html>";

/// The playground for a browser, a small status for anything else.
pub async fn index(headers: HeaderMap) -> Response {
    let wants_html = headers.get_all(header::ACCEPT).iter().any(|accept| {
        accept.to_str().is_ok_and(|accept| accept.to_ascii_lowercase().contains("text/html"))
    });
    if !wants_html {
        return ([(header::VARY, "accept")], status().await).into_response();
    }
    let mut page = assets::page("index.html", NOT_BUILT, CONTENT_SECURITY_POLICY);
    page.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    page
}

/// The small status. Without the version, which would reveal known vulnerabilities.
pub async fn status() -> Json<Value> {
    Json(json!({ "service": env!("CARGO_PKG_NAME"), "graphql": "/graphql" }))
}

/// A file of the playground.
pub async fn asset(Path(path): Path<String>) -> Response {
    match assets::asset(path, CONTENT_SECURITY_POLICY) {
        Some(file) => file,
        None => not_found().await,
    }
}

/// The response to paths that are not served.
pub async fn not_found() -> Response {
    let body = json!({ "error": "not found", "graphql": "/graphql" });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}
