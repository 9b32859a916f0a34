//! Requests that other sites make a browser send. A browser sends a plain GET for any page, with
//! whatever lets its user in; one with a header out of the ordinary it sends only after it has asked
//! whether it may (a preflight), which [`origin`](super::origin) answers. A POST must be JSON, which
//! is out of the ordinary already.

use axum::http::{HeaderMap, HeaderName};

use super::negotiate;
use crate::error::{Code, Error, Result};

/// Headers that no page can have a browser send without asking.
pub static HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("graphql-require-preflight"),
    HeaderName::from_static("apollo-require-preflight"),
    HeaderName::from_static("x-apollo-operation-name"),
];

/// Whether a browser says that a page of the service itself sent it, which no page can have it say.
#[must_use]
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
}

/// Rejects a GET that any page could have sent.
///
/// # Errors
/// If no header is out of the ordinary.
pub fn check(headers: &HeaderMap) -> Result<()> {
    let is_asked = |name: &HeaderName| headers.get(name).is_some_and(|value| !value.is_empty());
    if negotiate::is_json(headers) || HEADERS.iter().any(is_asked) {
        return Ok(());
    }
    let message = "A page of another site could have sent this. Send a GET with the header \
                   `GraphQL-Require-Preflight: 1`, or with `Content-Type: application/json`.";
    Err(Error::Client(Code::BadRequest, message.into()))
}
