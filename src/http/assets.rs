//! The pages of the front end and their files, embedded in the program so that they work with no internet.

use axum::{
    Extension,
    body::Bytes,
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::{Embed, EmbeddedFile};

use super::compression::StaticFile;

#[derive(Embed)]
#[folder = "$OUT_DIR/playground"]
struct Files;

/// Returns a page, or `otherwise` where the front end was not built; with the policy of what it may load.
pub fn page(name: &str, otherwise: &'static str, policy: &'static str) -> Response {
    let page = match Files::get(name) {
        Some(file) => Html(bytes(file)).into_response(),
        None => Html(otherwise).into_response(),
    };
    let headers = [(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-cache")];
    (headers, page).into_response()
}

/// Returns a file of a page. Its name has a hash of its content, so it can be kept for ever.
pub fn asset(path: String, policy: &'static str) -> Option<Response> {
    let file = Files::get(&format!("assets/{path}"))?;
    let media_type = HeaderValue::from_str(file.metadata.mimetype())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
    ];
    let file_name = Extension(StaticFile(path));
    Some((headers, file_name, bytes(file)).into_response())
}

fn bytes(file: EmbeddedFile) -> Bytes {
    match file.data {
        std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
        std::borrow::Cow::Owned(data) => data.into(),
    }
}
