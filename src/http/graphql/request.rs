//! GraphQL requests, read from HTTP.

use std::time::Duration;

use async_graphql::{Extensions, Request, Value as ConstValue, Variables};
use async_graphql_axum::{GraphQLRequest, rejection::GraphQLRejection};
use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody},
    extract::{FromRequest, Request as HttpRequest},
    http::{HeaderMap, Method, StatusCode, Uri, header},
};
use futures_util::StreamExt;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::{
    error::{Code, Error},
    graphql::execution::{
        documents::{DocumentId, Hash},
        engine::RequestInfo,
    },
    http::{AppState, csrf, negotiate},
};

/// How long the rest of a rejected body is received.
const LINGER: Duration = Duration::from_secs(2);
/// The byte order mark that some clients put in front of JSON. RFC 8259 (8.1) lets a parser ignore
/// it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The parameter that async-graphql's requests do not have.
const DOCUMENT_ID: &[u8] = b"\"documentId\"";

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
pub async fn read(
    state: &AppState,
    request: HttpRequest,
    accepts_events: bool,
) -> Result<(Request, RequestInfo)> {
    match *request.method() {
        Method::GET | Method::HEAD => {
            // `EventSource` cannot send headers of its own.
            if !(accepts_events && csrf::is_same_origin(request.headers())) {
                csrf::check(request.headers())?;
            }
            let (request, info) = from_query(request.uri())?;
            Ok((request, RequestInfo { only_reads: true, ..info }))
        }
        Method::POST => from_body(state, request).await,
        _ => {
            let message = "Use POST, or GET for queries.";
            Err(Error::Client(Code::MethodNotAllowed, message.into()).into())
        }
    }
}

fn from_query(uri: &Uri) -> Result<(Request, RequestInfo)> {
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

async fn from_body(state: &AppState, request: HttpRequest) -> Result<(Request, RequestInfo)> {
    let (head, body) = request.into_parts();
    let announced = body.size_hint().lower();
    let mut body = body.into_data_stream();
    let bytes = match collect(state, &head.headers, announced, &mut body).await {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => {
            runtime_insight::spawn("http linger", timeout(LINGER, discard(body)));
            return Err(error);
        }
    };
    let json =
        bytes.strip_prefix(BYTE_ORDER_MARK).map_or(bytes.clone(), |json| bytes.slice_ref(json));
    if let Some(request) = extract(json.clone()).await {
        return with_document_id(request, None);
    }
    let parameters: Value = serde_json::from_slice(&json)
        .map_err(|error| bad_request(format!("The body is not JSON: {error}.")))?;
    match parameters {
        Value::Object(parameters) => from_parameters(parameters),
        Value::Array(_) => Err(ill_formed("Batched requests are not supported.".into())),
        _ => Err(ill_formed("The body must be a JSON object.".into())),
    }
}

/// The request in a body, as async-graphql-axum reads it; none if it cannot, or would lose a parameter.
/// [`from_parameters`] then takes what else is well-formed (null where an optional parameter is not given,
/// `documentId`), and says which parameter is wrong: the library's error names its own types.
async fn extract(json: Bytes) -> Option<Request> {
    if json.windows(DOCUMENT_ID.len()).any(|part| part == DOCUMENT_ID) {
        return None;
    }
    let request = HttpRequest::post("/").body(Body::from(json)).ok()?;
    GraphQLRequest::<GraphQLRejection>::from_request(request, &())
        .await
        .ok()
        .map(GraphQLRequest::into_inner)
}

/// The bytes of a body that may be read: not one that is announced as too large.
async fn collect(
    state: &AppState,
    headers: &HeaderMap,
    announced: u64,
    body: &mut BodyDataStream,
) -> Result<Vec<u8>> {
    let limit = state.limits.max_body;
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
            let part = part.map_err(|_| bad_request("The body ended early.".into()))?;
            if bytes.len() + part.len() > limit {
                return Err(too_large(limit));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    };
    timeout(state.limits.request_timeout, read).await.unwrap_or_else(|_| {
        let message = "The body was not received in time.";
        Err(Error::Client(Code::RequestTimeout, message.into()).into())
    })
}

/// Takes in what is still on its way, and keeps nothing. A connection that is closed on data is reset, and
/// with that a client may lose the response that says why.
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
            let message = "Compressed request bodies are not supported.";
            Err(Error::Client(Code::UnsupportedMediaType, message.into()).into())
        }
        _ => Ok(()),
    }
}

/// Reads the parameters that the specification names; others are ignored, as it demands.
///
/// # Errors
/// If one is missing or not of its type.
pub fn from_parameters(mut parameters: Map<String, Value>) -> Result<(Request, RequestInfo)> {
    let mut request = Request::new(text(&mut parameters, "query")?.unwrap_or_default());
    request.operation_name = text(&mut parameters, "operationName")?;
    let variables = map(&mut parameters, "variables")?;
    request.variables = Variables::from_json(Value::Object(variables));
    for (name, value) in map(&mut parameters, "extensions")? {
        request.extensions.insert(name, ConstValue::from_json(value).unwrap_or_default());
    }
    with_document_id(request, text(&mut parameters, "documentId")?)
}

/// A request with what names its document, if its text is not sent.
fn with_document_id(
    request: Request,
    document_id: Option<String>,
) -> Result<(Request, RequestInfo)> {
    let persisted = persisted_query(&request.extensions)?;
    let query = Some(&request.query).filter(|query| !query.is_empty());
    let document_id = match (query, document_id, persisted) {
        (Some(_), None, None) => None,
        (Some(query), None, Some(hash)) if Hash::of(query) == hash => None,
        (Some(_), None, Some(_)) => {
            return Err(ill_formed("The sha256Hash is not that of the query.".into()));
        }
        (None, Some(id), None) => Some(DocumentId::parse(&id)),
        (None, None, Some(hash)) => Some(DocumentId::Hash(hash)),
        (None, None, None) => return Err(ill_formed("The parameter query is missing.".into())),
        _ => {
            return Err(ill_formed("Give documentId without query or persistedQuery.".into()));
        }
    };
    Ok((request, RequestInfo { document_id, ..RequestInfo::default() }))
}

/// The hash that Apollo's clients send in `extensions.persistedQuery`.
fn persisted_query(extensions: &Extensions) -> Result<Option<Hash>> {
    let persisted = match extensions.get("persistedQuery") {
        None | Some(ConstValue::Null) => return Ok(None),
        Some(ConstValue::List(items)) if items.is_empty() => return Ok(None),
        Some(ConstValue::Object(persisted)) if persisted.is_empty() => return Ok(None),
        Some(ConstValue::Object(persisted)) => persisted,
        Some(_) => {
            return Err(ill_formed("The parameter persistedQuery must be a JSON object.".into()));
        }
    };
    if persisted.get("version") != Some(&ConstValue::from(1)) {
        return Err(ill_formed("The version of persistedQuery must be 1.".into()));
    }
    match persisted.get("sha256Hash") {
        Some(ConstValue::String(hash)) => {
            let hash = Hash::parse(hash);
            hash.map(Some).ok_or_else(|| ill_formed("The sha256Hash must be 64 digits.".into()))
        }
        Some(ConstValue::Null) | None => {
            Err(ill_formed("The sha256Hash must be 64 digits.".into()))
        }
        Some(_) => Err(ill_formed("The parameter sha256Hash must be a string.".into())),
    }
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
