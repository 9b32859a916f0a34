//! The page at `/`, embedded in the program so that it works with no internet.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::{Embed, EmbeddedFile};
use serde_json::{Value, json};

use super::compression::StaticFile;

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

#[derive(Embed)]
#[folder = "$OUT_DIR/playground"]
struct Files;

/// The playground for a browser, a small status for anything else.
pub async fn index(headers: HeaderMap) -> Response {
    let wants_html = headers.get_all(header::ACCEPT).iter().any(|accept| {
        accept.to_str().is_ok_and(|accept| accept.to_ascii_lowercase().contains("text/html"))
    });
    if !wants_html {
        return ([(header::VARY, "accept")], status().await).into_response();
    }
    let page = match Files::get("index.html") {
        Some(file) => Html(bytes(file)).into_response(),
        None => Html(NOT_BUILT).into_response(),
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept"),
    ];
    (headers, page).into_response()
}

/// The small status. Without the version, which would reveal known vulnerabilities.
pub async fn status() -> Json<Value> {
    Json(json!({ "service": env!("CARGO_PKG_NAME"), "graphql": "/graphql" }))
}

/// A file of the playground. Its name has a hash of its content, so it can be kept for ever.
pub async fn asset(Path(path): Path<String>) -> Response {
    let Some(file) = Files::get(&format!("assets/{path}")) else { return not_found().await };
    let media_type = HeaderValue::from_str(file.metadata.mimetype())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
    ];
    let file_name = Extension(StaticFile(path));
    (headers, file_name, bytes(file)).into_response()
}

/// The response to paths that are not served.
pub async fn not_found() -> Response {
    let body = json!({ "error": "not found", "graphql": "/graphql" });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

fn bytes(file: EmbeddedFile) -> Bytes {
    match file.data {
        std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
        std::borrow::Cow::Owned(data) => data.into(),
    }
}
