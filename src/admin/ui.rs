//! The admin UI: a page at `/` of the admin listener. It is served to everybody who reaches the listener,
//! since its files have no data: the endpoints below `/debug/api/` that it reads want the token.

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::http::assets;

/// What the page may do: load its own files and read from its own listener.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
    img-src 'self' data:; style-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <title>Colophon admin</title><h1>Colophon admin</h1>\
    <p>The admin UI was not built with the service, since npm was missing or failed then: install Node.js \
    with npm, then run <code>make playground</code> and start the service again. \
    Its data is at <code>/debug/api/</code>; <code>curl</code> of this address lists all endpoints.</p></html>";

/// The page and its files.
pub fn router() -> Router {
    Router::new().route("/", get(index)).route("/assets/{*path}", get(asset)).fallback(not_found)
}

async fn index() -> Response {
    assets::page("admin.html", NOT_BUILT, CONTENT_SECURITY_POLICY)
}

async fn asset(Path(path): Path<String>) -> Response {
    match assets::asset(path, CONTENT_SECURITY_POLICY) {
        Some(file) => file,
        None => not_found().await,
    }
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "not found; / lists the endpoints\n").into_response()
}
