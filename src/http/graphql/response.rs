//! GraphQL responses as HTTP has them.

use std::sync::LazyLock;

use async_graphql::ServerError;
use axum::{
    body::Bytes,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use graphql_telemetry::http::Failure;
use hyper::ext::ReasonPhrase;
use serde::Serialize;

use crate::{
    error::Code,
    graphql::execution::errors::{ExecutionResult, server_error},
    http::{
        bearer, graphql::RequestError, negotiate::MediaType, server::response_budget::Reservation,
    },
};

/// `294 Partial Success` of the edition, which IANA does not know yet.
static PARTIAL_SUCCESS: LazyLock<StatusCode> =
    LazyLock::new(|| StatusCode::from_u16(294).unwrap_or(StatusCode::OK));

/// The response to a request that is not executed.
pub fn error_response(media_type: MediaType, error: impl Into<RequestError>) -> Response {
    let RequestError { status, error } = error.into();
    let code = error.code();
    let mut response =
        render(status, media_type, ExecutionResult::request_error(server_error(error)));
    let headers = response.headers_mut();
    match code {
        Code::MethodNotAllowed => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
        }
        Code::Unauthenticated => {
            headers.insert(header::WWW_AUTHENTICATE, bearer::CHALLENGE.clone());
        }
        _ => {}
    }
    response
}

/// The response to a request whose operation was executed, or could not be.
pub fn of_operation(media_type: MediaType, answer: ExecutionResult) -> Response {
    let is_method = answer.request_error_code == Some(Code::MethodNotAllowed);
    let mut response = render(status(media_type, &answer), media_type, answer);
    if is_method {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// The status of a response. As `application/graphql-response+json` the edition's ("Status Codes"):
/// with `data`, even null, 200 or, with errors, 294; else that of the error. Clients that accept
/// `application/json` only are older than the edition, and some take any other status for a failure
/// of HTTP: they get 200 for mistakes in a document or its variables, and errors of the service
/// where there is no data.
fn status(media_type: MediaType, answer: &ExecutionResult) -> StatusCode {
    match (media_type, answer.request_error_code) {
        (MediaType::GraphqlResponse, Some(code)) if !answer.was_executed() => code.status(),
        (MediaType::GraphqlResponse, _) if !answer.response.errors.is_empty() => *PARTIAL_SUCCESS,
        (MediaType::Json, Some(code)) if code.is_server_fault() => code.status(),
        (MediaType::Json, Some(code @ Code::MethodNotAllowed)) => code.status(),
        _ => StatusCode::OK,
    }
}

/// An answer as clients get it.
#[derive(Serialize)]
pub struct Rendered<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a async_graphql::Value>,
    #[serde(skip_serializing_if = "<[ServerError]>::is_empty")]
    errors: &'a [ServerError],
}

impl<'a> From<&'a ExecutionResult> for Rendered<'a> {
    fn from(answer: &'a ExecutionResult) -> Self {
        Self { data: answer.data(), errors: &answer.response.errors }
    }
}

/// The body of an answer, which has its place in the backlog until the last of it is sent.
struct Text {
    json: Vec<u8>,
    _held: Option<Reservation>,
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

fn write(answer: ExecutionResult) -> serde_json::Result<Bytes> {
    /// For what the size of the data leaves out: what escapes add, errors, and the names of both.
    const MORE: usize = 256;
    let size = answer.held.as_ref().map_or(0, Reservation::bytes);
    let mut json = Vec::with_capacity(size + size / 16 + MORE);
    serde_json::to_writer(&mut json, &Rendered::from(&answer))?;
    Ok(Bytes::from_owner(Text { json, _held: answer.held }))
}

fn render(status: StatusCode, media_type: MediaType, answer: ExecutionResult) -> Response {
    let request_error_code = answer.request_error_code;
    match write(answer) {
        Ok(body) => {
            let headers = [
                (header::CONTENT_TYPE, media_type.content_type()),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            let mut response = (status, headers, body).into_response();
            if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            if status == *PARTIAL_SUCCESS {
                let reason = ReasonPhrase::from_static(b"Partial Success");
                response.extensions_mut().insert(reason);
            }
            if let Some(code) = request_error_code {
                response.extensions_mut().insert(Failure(code.into()));
            }
            response
        }
        Err(error) => {
            tracing::error!(name: "http.unwritable_answer", { exception.message = %error }, "an answer cannot be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
