//! GraphQL requests, read from HTTP.

use std::time::Duration;

use axum::{
    body::{BodyDataStream, HttpBody},
    extract::Request,
    http::{HeaderMap, Method, StatusCode, Uri, header},
};
use futures_util::StreamExt;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::{
    error::{Code, Error},
    graphql::execution::{
        documents::{DocumentId, Hash},
        engine::RawRequest,
    },
    http::{AppState, csrf, negotiate},
};

/// How long the rest of a rejected body is received.
const LINGER: Duration = Duration::from_secs(2);
/// The byte order mark that some clients put in front of JSON. RFC 8259 (8.1) lets a parser ignore
/// it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a request is not read, and the status of the response.
#[derive(Debug)]
pub struct RequestError {
    /// The status.
    pub status: StatusCode,
    /// The error.
    pub error: Error,
}

type Result<T> = std::result::Result<T, RequestError>;

impl From<Error> for RequestError {
    fn from(error: Error) -> Self {
        Self { status: error.code().status(), error }
    }
}

/// Reads a request.
///
/// # Errors
/// If it is not a well-formed GraphQL-over-HTTP request, or too large or too slow.
pub async fn read(public: &AppState, request: Request) -> Result<RawRequest> {
    match *request.method() {
        Method::GET | Method::HEAD => {
            csrf::check(request.headers())?;
            Ok(RawRequest { only_query: true, ..from_query(request.uri())? })
        }
        Method::POST => from_body(public, request).await,
        _ => {
            let message = "Use POST, or GET for queries.";
            Err(Error::Client(Code::MethodNotAllowed, message.into()).into())
        }
    }
}

fn from_query(uri: &Uri) -> Result<RawRequest> {
    let mut parameters = Map::new();
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let is_json = matches!(&*name, "variables" | "extensions");
        let value = if is_json && !value.is_empty() {
            serde_json::from_str(&value).map_err(|error| {
                ill_formed(format!("The parameter {name} is not JSON: {error}."))
            })?
        } else if is_json {
            Value::Null
        } else {
            Value::String(value.into_owned())
        };
        if parameters.insert(name.to_string(), value).is_some() {
            return Err(ill_formed(format!("The parameter {name} is given twice.")));
        }
    }
    from_parameters(parameters)
}

async fn from_body(public: &AppState, request: Request) -> Result<RawRequest> {
    let (head, body) = request.into_parts();
    let announced = body.size_hint().lower();
    let mut body = body.into_data_stream();
    let bytes = match collect(public, &head.headers, announced, &mut body).await {
        Ok(bytes) => bytes,
        Err(error) => {
            runtime_insight::spawn("http linger", timeout(LINGER, discard(body)));
            return Err(error);
        }
    };
    let json = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    let parameters: Value = serde_json::from_slice(json)
        .map_err(|error| bad_request(format!("The body is not JSON: {error}.")))?;
    match parameters {
        Value::Object(parameters) => from_parameters(parameters),
        Value::Array(_) => Err(ill_formed("Several requests in one are not served.".into())),
        _ => Err(ill_formed("The body must be a JSON object.".into())),
    }
}

/// The bytes of a body that may be read: not one that is announced as too large.
async fn collect(
    public: &AppState,
    headers: &HeaderMap,
    announced: u64,
    body: &mut BodyDataStream,
) -> Result<Vec<u8>> {
    let limit = public.limits.max_body;
    if announced > limit as u64 {
        return Err(too_large(limit));
    }
    if !negotiate::is_json(headers) {
        let message = "Send the request as application/json in UTF-8.";
        return Err(Error::Client(Code::UnsupportedMediaType, message.into()).into());
    }
    reject_encoding(headers)?;
    let read = async {
        let mut bytes = Vec::new();
        while let Some(part) = body.next().await {
            let part = part.map_err(|_| bad_request("The body is broken off.".into()))?;
            if bytes.len() + part.len() > limit {
                return Err(too_large(limit));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    };
    timeout(public.limits.request_timeout, read).await.unwrap_or_else(|_| {
        let message = "The body did not arrive in time.";
        Err(Error::Client(Code::RequestTimeout, message.into()).into())
    })
}

/// Takes in what is still on its way, and keeps nothing. A connection that is closed on data is reset, and
/// with that a client may lose the answer that says why.
async fn discard(mut body: BodyDataStream) {
    while let Some(Ok(_)) = body.next().await {}
}

fn too_large(limit: usize) -> RequestError {
    let message = format!("The body is larger than {limit} bytes.");
    let error = Error::Client(Code::LimitExceeded, message);
    RequestError { status: StatusCode::PAYLOAD_TOO_LARGE, error }
}

fn reject_encoding(headers: &HeaderMap) -> Result<()> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            let message = "Compressed bodies are not served.";
            Err(Error::Client(Code::UnsupportedMediaType, message.into()).into())
        }
        _ => Ok(()),
    }
}

/// Reads the parameters that the specification names; others are ignored, as it demands.
///
/// # Errors
/// If one is missing or not of its type.
pub fn from_parameters(mut parameters: Map<String, Value>) -> Result<RawRequest> {
    let query = text(&mut parameters, "query")?.filter(|query| !query.is_empty());
    let document_id = text(&mut parameters, "documentId")?;
    let operation_name = text(&mut parameters, "operationName")?;
    let variables = map(&mut parameters, "variables")?;
    let persisted = persisted_query(&mut map(&mut parameters, "extensions")?)?;
    let raw = RawRequest { operation_name, variables, ..RawRequest::default() };
    match (query, document_id, persisted) {
        (Some(query), None, None) => Ok(RawRequest { query, ..raw }),
        (Some(query), None, Some(hash)) if Hash::of(&query) == hash => {
            Ok(RawRequest { query, ..raw })
        }
        (Some(_), None, Some(_)) => {
            Err(ill_formed("The sha256Hash is not that of the query.".into()))
        }
        (None, Some(id), None) => Ok(RawRequest { id: Some(DocumentId::parse(&id)), ..raw }),
        (None, None, Some(hash)) => Ok(RawRequest { id: Some(DocumentId::Hash(hash)), ..raw }),
        (None, None, None) => Err(ill_formed("The parameter query is missing.".into())),
        _ => Err(ill_formed("Give documentId without query or persistedQuery.".into())),
    }
}

/// The hash that Apollo's clients send in `extensions.persistedQuery`.
fn persisted_query(extensions: &mut Map<String, Value>) -> Result<Option<Hash>> {
    let mut persisted = map(extensions, "persistedQuery")?;
    if persisted.is_empty() {
        return Ok(None);
    }
    if persisted.get("version").and_then(Value::as_u64) != Some(1) {
        return Err(ill_formed("The version of persistedQuery must be 1.".into()));
    }
    let hash = text(&mut persisted, "sha256Hash")?.as_deref().and_then(Hash::parse);
    hash.map(Some).ok_or_else(|| ill_formed("The sha256Hash must be 64 digits.".into()))
}

fn text(parameters: &mut Map<String, Value>, name: &str) -> Result<Option<String>> {
    match parameters.remove(name) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Null) | None => Ok(None),
        Some(_) => Err(ill_formed(format!("The parameter {name} must be a string."))),
    }
}

fn map(parameters: &mut Map<String, Value>, name: &str) -> Result<Map<String, Value>> {
    match parameters.remove(name) {
        Some(Value::Object(map)) => Ok(map),
        Some(Value::Null) | None => Ok(Map::new()),
        // As PHP writes an empty map.
        Some(Value::Array(items)) if items.is_empty() => Ok(Map::new()),
        Some(_) => Err(ill_formed(format!("The parameter {name} must be a JSON object."))),
    }
}

/// An error for a body that is not JSON.
fn bad_request(message: String) -> RequestError {
    Error::Client(Code::BadRequest, message).into()
}

/// An error for parameters that are not those of a well-formed request.
fn ill_formed(message: String) -> RequestError {
    let error = Error::Client(Code::BadRequest, message);
    RequestError { status: StatusCode::UNPROCESSABLE_ENTITY, error }
}
