//! GraphQL responses as HTTP has them.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, LazyLock},
};

use async_graphql::{ServerError, Value};
use axum::{
    body::Bytes,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use graphql_telemetry::http::Failure;
use hyper::ext::ReasonPhrase;
use serde::Serialize;

use crate::{
    error::{Code, Error},
    graphql::execution::{
        errors::{request_error, request_error_code, was_executed},
        subscriptions::Render,
    },
    http::{
        AppState, bearer, graphql::RequestError, negotiate::MediaType,
        server::response_budget::Reservation,
    },
};

/// `294 Partial Success` of the edition, which IANA does not know yet.
static PARTIAL_SUCCESS: LazyLock<StatusCode> =
    LazyLock::new(|| StatusCode::from_u16(294).unwrap_or(StatusCode::OK));

/// The response to a request that is not executed.
pub fn error_response(media_type: MediaType, error: impl Into<RequestError>) -> Response {
    let RequestError { status, error } = error.into();
    let code = error.code();
    let json = serde_json::to_vec(&Rendered::from(&request_error(error))).unwrap_or_default();
    let mut response = with_body(status, media_type, Some(code), json.into());
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
pub async fn of_operation(
    state: &AppState,
    media_type: MediaType,
    response: async_graphql::Response,
) -> Response {
    let (response, body) = match write(state, &Rendered::from(&response)).await {
        Ok(json) => (response, Bytes::from_owner(json)),
        Err(error) => {
            let response = request_error(error);
            let json = serde_json::to_vec(&Rendered::from(&response)).unwrap_or_default();
            (response, json.into())
        }
    };
    let code = request_error_code(&response);
    let status = status(media_type, &response, code);
    let mut response = with_body(status, media_type, code, body);
    if code == Some(Code::MethodNotAllowed) {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// The status of a response. As `application/graphql-response+json` the edition's ("Status Codes"):
/// with `data`, even null, 200 or, with errors, 294; else that of the error. Clients that accept
/// `application/json` only are older than the edition, and some take any other status for a failure
/// of HTTP: they get 200 for mistakes in a document or its variables, and errors of the service
/// where there is no data.
fn status(
    media_type: MediaType,
    response: &async_graphql::Response,
    request_error: Option<Code>,
) -> StatusCode {
    match (media_type, request_error) {
        (MediaType::GraphqlResponse, Some(code)) if !was_executed(response) => code.status(),
        (MediaType::GraphqlResponse, _) if !response.errors.is_empty() => *PARTIAL_SUCCESS,
        (MediaType::Json, Some(code)) if code.is_server_fault() => code.status(),
        (MediaType::Json, Some(code @ Code::MethodNotAllowed)) => code.status(),
        _ => StatusCode::OK,
    }
}

/// A response as clients get it.
#[derive(Serialize)]
pub struct Rendered<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[ServerError]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

impl<'a> From<&'a async_graphql::Response> for Rendered<'a> {
    fn from(response: &'a async_graphql::Response) -> Self {
        let data = was_executed(response).then_some(&response.data);
        Self { data, errors: &response.errors, extensions: &response.extensions }
    }
}

/// JSON whose bytes are reserved until the last of it is sent.
pub struct Reserved {
    json: Vec<u8>,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Reserved {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

/// Writes a response, or a message that has one, as JSON.
///
/// # Errors
/// [`Code::LimitExceeded`] if it is larger than a response may be.
pub async fn write(state: &AppState, value: &impl Serialize) -> Result<Reserved, Error> {
    let limit = state.limits.max_answer;
    let mut writer = Limited { json: Vec::with_capacity(1024), limit };
    serde_json::to_writer(&mut writer, value).map_err(|error| {
        if error.is_io() {
            let message = format!(
                "The response is larger than {limit} bytes; select fewer fields or smaller pages."
            );
            Error::Client(Code::LimitExceeded, message)
        } else {
            Error::Internal(format!("a response cannot be written as JSON: {error}"))
        }
    })?;
    let json = writer.json;
    let reservation = state.budget.reserve(json.capacity()).await;
    Ok(Reserved { json, _reservation: reservation })
}

/// What responses to the events of a subscription become: JSON whose bytes are reserved until all who are sent
/// it have it.
pub fn render(state: Arc<AppState>) -> Render {
    Arc::new(move |response| {
        let state = state.clone();
        Box::pin(async move {
            match write(&state, &Rendered::from(&response)).await {
                Ok(json) => Bytes::from_owner(json),
                Err(too_large) => {
                    let response = request_error(too_large);
                    serde_json::to_vec(&Rendered::from(&response)).unwrap_or_default().into()
                }
            }
        })
    })
}

/// Takes so many bytes and no more.
struct Limited {
    json: Vec<u8>,
    limit: usize,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    /// What `serde_json` calls, for each token: without the loop of the trait's own.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.json.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.json.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn with_body(
    status: StatusCode,
    media_type: MediaType,
    request_error: Option<Code>,
    body: Bytes,
) -> Response {
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
    if let Some(code) = request_error {
        response.extensions_mut().insert(Failure(code.into()));
    }
    response
}
