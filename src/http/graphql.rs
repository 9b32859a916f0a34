//! GraphQL over HTTP (graphql.github.io/graphql-over-http), POST and GET, no batching.

use std::{sync::Arc, time::Duration};

use async_graphql::ServerError;
use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::{Public, bearer, csrf, negotiate};
use crate::{
    backlog::Held,
    error::{Code, Error, Result},
    graphql::{
        documents::{DocumentId, Hash},
        engine::RawRequest,
        present::{Answer, server_error},
    },
    telemetry::{http::Failure, runtime::tasks},
};
use negotiate::MediaType;

/// How long a body that was refused is let come in.
const LINGER: Duration = Duration::from_secs(2);

/// Answers a GraphQL request.
pub async fn handle(public: Arc<Public>, request: Request) -> Response {
    let Some(media_type) = MediaType::accepted(request.headers()) else {
        let message = "An answer can be had as application/graphql-response+json or \
                       application/json.";
        return refuse(MediaType::Json, Error::Client(Code::NotAcceptable, message.into()));
    };
    // Before the body is read.
    let caller = match public.access.caller(bearer::token(request.headers())).await {
        Ok(caller) => caller,
        Err(refused) => {
            let error = Error::Client(Code::Unauthenticated, refused.to_string());
            return refuse(media_type, error);
        }
    };
    let raw = match read(&public, request).await {
        Ok(raw) => RawRequest { caller, ..raw },
        Err(error) => return refuse(media_type, error),
    };
    let operation = match public.engine.prepare(raw).await {
        Ok(operation) => operation,
        Err(answer) => return refuse_document(media_type, *answer),
    };
    let answer = public.engine.run(operation).await;
    let status = status(media_type, &answer);
    render(status, media_type, answer)
}

/// The answer to a request whose handling panicked outside of any resolver.
#[must_use]
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response<Body> {
    refuse(MediaType::Json, Error::Internal("a handler panicked".into()))
}

async fn read(public: &Public, request: Request) -> Result<RawRequest> {
    match *request.method() {
        Method::GET | Method::HEAD => {
            csrf::check(request.headers())?;
            Ok(RawRequest { only_query: true, ..from_query(request.uri())? })
        }
        Method::POST => from_body(public, request).await,
        _ => Err(Error::Client(Code::MethodNotAllowed, "Use POST, or GET for queries.".into())),
    }
}

fn from_query(uri: &Uri) -> Result<RawRequest> {
    let mut parameters = Map::new();
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let is_json = matches!(&*name, "variables" | "extensions");
        let value = if is_json && !value.is_empty() {
            serde_json::from_str(&value).map_err(|error| {
                bad_request(format!("The parameter {name} is not JSON: {error}."))
            })?
        } else if is_json {
            Value::Null
        } else {
            Value::String(value.into_owned())
        };
        if parameters.insert(name.to_string(), value).is_some() {
            return Err(bad_request(format!("The parameter {name} is given twice.")));
        }
    }
    from_parameters(parameters)
}

async fn from_body(public: &Public, request: Request) -> Result<RawRequest> {
    let (head, body) = request.into_parts();
    let announced = body.size_hint().lower();
    let mut body = body.into_data_stream();
    let bytes = match collect(public, &head.headers, announced, &mut body).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tasks::spawn("http linger", timeout(LINGER, discard(body)));
            return Err(error);
        }
    };
    let parameters: Value = serde_json::from_slice(&bytes)
        .map_err(|error| bad_request(format!("The body is not JSON: {error}.")))?;
    match parameters {
        Value::Object(parameters) => from_parameters(parameters),
        Value::Array(_) => Err(bad_request("Several requests in one are not served.".into())),
        _ => Err(bad_request("The body must be a JSON object.".into())),
    }
}

/// The bytes of a body that may be read: not one that is announced as too large.
async fn collect(
    public: &Public,
    headers: &HeaderMap,
    announced: u64,
    body: &mut BodyDataStream,
) -> Result<Vec<u8>> {
    let limit = public.limits.max_body;
    if announced > limit as u64 {
        return Err(too_large(limit));
    }
    if !negotiate::is_json(headers) {
        return Err(Error::Client(
            Code::UnsupportedMediaType,
            "Send the request as application/json in UTF-8.".into(),
        ));
    }
    refuse_encoding(headers)?;
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
        Err(Error::Client(Code::RequestTimeout, "The body did not arrive in time.".into()))
    })
}

/// Takes in what is still on its way, and keeps nothing. A connection that is closed on data is reset, and
/// with that a client may lose the answer that says why.
async fn discard(mut body: BodyDataStream) {
    while let Some(Ok(_)) = body.next().await {}
}

fn too_large(limit: usize) -> Error {
    Error::Client(Code::LimitExceeded, format!("The body is larger than {limit} bytes."))
}

fn refuse_encoding(headers: &HeaderMap) -> Result<()> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Error::Client(
            Code::UnsupportedMediaType,
            "Compressed bodies are not served.".into(),
        )),
        _ => Ok(()),
    }
}

/// Reads the parameters that the specification names; others are left alone, as it demands.
pub(super) fn from_parameters(mut parameters: Map<String, Value>) -> Result<RawRequest> {
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
            Err(bad_request("The sha256Hash is not that of the query.".into()))
        }
        (None, Some(id), None) => Ok(RawRequest { id: Some(DocumentId::parse(&id)), ..raw }),
        (None, None, Some(hash)) => Ok(RawRequest { id: Some(DocumentId::Hash(hash)), ..raw }),
        (None, None, None) => Err(bad_request("The parameter query is missing.".into())),
        _ => Err(bad_request("Give documentId without query or persistedQuery.".into())),
    }
}

/// The hash that Apollo's clients send in `extensions.persistedQuery`.
fn persisted_query(extensions: &mut Map<String, Value>) -> Result<Option<Hash>> {
    let mut persisted = map(extensions, "persistedQuery")?;
    if persisted.is_empty() {
        return Ok(None);
    }
    if persisted.get("version").and_then(Value::as_u64) != Some(1) {
        return Err(bad_request("The version of persistedQuery must be 1.".into()));
    }
    let hash = text(&mut persisted, "sha256Hash")?.as_deref().and_then(Hash::parse);
    hash.map(Some).ok_or_else(|| bad_request("The sha256Hash must be 64 digits.".into()))
}

fn text(parameters: &mut Map<String, Value>, name: &str) -> Result<Option<String>> {
    match parameters.remove(name) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Null) | None => Ok(None),
        Some(_) => Err(bad_request(format!("The parameter {name} must be a string."))),
    }
}

fn map(parameters: &mut Map<String, Value>, name: &str) -> Result<Map<String, Value>> {
    match parameters.remove(name) {
        Some(Value::Object(map)) => Ok(map),
        Some(Value::Null) | None => Ok(Map::new()),
        Some(_) => Err(bad_request(format!("The parameter {name} must be a JSON object."))),
    }
}

const fn bad_request(message: String) -> Error {
    Error::Client(Code::BadRequest, message)
}

/// The answer to a request that is not GraphQL over HTTP.
pub(super) fn refuse(media_type: MediaType, error: Error) -> Response {
    let (code, oversized) = (error.code(), matches!(error.code(), Code::LimitExceeded));
    let status = if oversized { StatusCode::PAYLOAD_TOO_LARGE } else { code.status() };
    let mut response = render(status, media_type, Answer::refused(server_error(error)));
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

/// The answer to a request whose operation cannot be run.
fn refuse_document(media_type: MediaType, answer: Answer) -> Response {
    if answer.refusal == Some(Code::MethodNotAllowed) {
        let mut response = render(StatusCode::METHOD_NOT_ALLOWED, media_type, answer);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    render(status(media_type, &answer), media_type, answer)
}

/// The status of an answer (sections 6.4.1 and 6.4.2 of the specification): 200 where there is
/// data; where there is none, what the error says, except that older clients, who ask for
/// `application/json`, get 200 for a document of theirs that is wrong.
fn status(media_type: MediaType, answer: &Answer) -> StatusCode {
    match answer.refusal {
        Some(code) if code.is_server_fault() => code.status(),
        Some(code) if !answer.was_executed() && media_type == MediaType::GraphqlResponse => {
            code.status()
        }
        _ => StatusCode::OK,
    }
}

/// An answer as clients get it.
#[derive(Serialize)]
pub(super) struct Rendered<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a async_graphql::Value>,
    #[serde(skip_serializing_if = "<[ServerError]>::is_empty")]
    errors: &'a [ServerError],
}

impl<'a> From<&'a Answer> for Rendered<'a> {
    fn from(answer: &'a Answer) -> Self {
        Self { data: answer.data(), errors: &answer.response.errors }
    }
}

/// The body of an answer, which has its place in the backlog until the last of it is sent.
struct Text {
    json: Vec<u8>,
    _held: Option<Held>,
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

fn write(answer: Answer) -> serde_json::Result<Bytes> {
    /// For what the size of the data leaves out: what escapes add, errors, and the names of both.
    const MORE: usize = 256;
    let size = answer.held.as_ref().map_or(0, Held::bytes);
    let mut json = Vec::with_capacity(size + size / 16 + MORE);
    serde_json::to_writer(&mut json, &Rendered::from(&answer))?;
    Ok(Bytes::from_owner(Text { json, _held: answer.held }))
}

fn render(status: StatusCode, media_type: MediaType, answer: Answer) -> Response {
    let refusal = answer.refusal;
    match write(answer) {
        Ok(body) => {
            let headers = [
                (header::CONTENT_TYPE, media_type.content_type()),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            let mut response = (status, headers, body).into_response();
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            if let Some(code) = refusal {
                response.extensions_mut().insert(Failure(code));
            }
            response
        }
        Err(error) => {
            tracing::error!(name: "http.unwritable_answer", %error, "an answer cannot be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
