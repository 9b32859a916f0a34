//! The one place where errors meet the client: each gets its code, a fault of the service is
//! masked, and it is logged in full, once.

use async_graphql::{ErrorExtensionValues, PathSegment, Pos, Response, ServerError, Value};
use graphql_telemetry::{graphql::count_error, sea_orm::DatabaseFault};
use opentelemetry::{
    Context,
    trace::{TraceContextExt, TraceId},
};
use runtime_insight::RateLimiter;
use tracing::{error, warn};

use crate::error::{Code, Error, Violation};

/// The only conversion of an error into the library's: its text stays inside, as the source,
/// until `mask_error` decides what the client may see.
impl From<Error> for async_graphql::Error {
    fn from(error: Error) -> Self {
        Self { message: String::new(), source: Some(std::sync::Arc::new(error)), extensions: None }
    }
}

/// Masks the errors of a response: the first `limit` of them, and one more that says how many there were.
/// Returns the code of each.
pub fn mask_errors(response: &mut Response, limit: usize) -> Vec<Code> {
    let errors = &mut response.errors;
    let all = errors.len();
    errors.truncate(limit);
    if all > limit {
        let message = format!("{all} errors occurred; the first {limit} are listed.");
        errors.push(server_error(Error::Client(Code::LimitExceeded, message)));
    }
    errors.iter_mut().map(mask_error).collect()
}

/// The response to a request that is not executed, or not to its end.
#[must_use]
pub fn request_error(error: impl Into<Rejection>) -> Response {
    let Rejection(errors) = error.into();
    let mut response = Response::from_errors(errors);
    mask_errors(&mut response, usize::MAX);
    response
}

/// Whether execution began, so that the response has a `data` entry, though perhaps null.
#[must_use]
pub fn was_executed(response: &Response) -> bool {
    response.data != Value::Null || response.errors.iter().any(|error| !error.path.is_empty())
}

/// The code of the error that says why a response has no data at all; none if it has some.
#[must_use]
pub fn request_error_code(response: &Response) -> Option<Code> {
    if response.data != Value::Null {
        return None;
    }
    let codes = || response.errors.iter().filter_map(code);
    // A fault of the service says more about why nothing came than a mistake beside it.
    codes().find(|code| code.is_server_fault()).or_else(|| codes().next())
}

/// The code of a masked error.
fn code(error: &ServerError) -> Option<Code> {
    let Value::String(text) = error.extensions.as_ref()?.get("code")? else { return None };
    Code::ALL.into_iter().find(|code| code.as_str() == text)
}

/// An error of the service as an error of a document.
#[must_use]
pub fn server_error(error: Error) -> ServerError {
    let mut server_error = ServerError::new("", None);
    server_error.source = Some(std::sync::Arc::new(error));
    server_error
}

/// Gives `error` its code, its message for the client, its violations, and where to look it up.
fn mask_error(error: &mut ServerError) -> Code {
    let code = mask(error);
    count_error(code);
    let trace = Context::map_current(|context| context.span().span_context().trace_id());
    if trace != TraceId::INVALID {
        extensions(error).set("traceId", trace.to_string());
    }
    code
}

fn mask(error: &mut ServerError) -> Code {
    let Some(source) = error.source::<Error>().cloned() else {
        // The library's own: it could not take the value of an argument.
        set_code(error, Code::BadUserInput);
        return Code::BadUserInput;
    };
    let code = source.code();
    // An outage is logged by the health monitor, and overload by the concurrency limit, each once and not for
    // every request that is rejected.
    let is_logged = matches!(source, Error::DatabaseUnavailable(_)) || code == Code::Overloaded;
    if code.is_server_fault() && !is_logged {
        error!(
            name: "graphql.error",
            {
                error.type = code.as_str(),
                graphql.error.path = path(&error.path),
                exception.message = &source as &dyn std::error::Error
            },
            "operation failed"
        );
    }
    if let Some(fault) = source.denial() {
        warn_of_denial(error, fault);
    }
    error.message = source.public_message();
    set_code(error, code);
    if let Error::Invalid(violations) = &source {
        let values = violations.iter().map(violation).collect();
        extensions(error).set("violations", Value::List(values));
    }
    code
}

/// Clients may cause as many of these as they like.
fn warn_of_denial(error: &ServerError, fault: &DatabaseFault) {
    static WARNINGS: RateLimiter = RateLimiter::once_a_minute();
    if WARNINGS.admit().is_some() {
        warn!(
            name: "database.permission_denied",
            { graphql.error.path = path(&error.path), exception.message = fault as &dyn std::error::Error },
            "permission denied by the database for the service's role"
        );
    }
}

/// Why a request is not executed: the errors of the response.
#[derive(Debug)]
pub struct Rejection(pub Vec<ServerError>);

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self(vec![server_error(error)])
    }
}

/// An error of a document, with the places in it that have to do with it.
#[must_use]
pub fn located_error(code: Code, mut message: String, locations: Vec<Pos>) -> ServerError {
    /// Bytes of a message: names that the client chose may be long.
    const MAX_MESSAGE: usize = 500;
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    let mut error = server_error(Error::Client(code, message));
    error.locations = locations;
    error
}

fn set_code(error: &mut ServerError, code: Code) {
    extensions(error).set("code", code.as_str());
}

fn extensions(error: &mut ServerError) -> &mut ErrorExtensionValues {
    error.extensions.get_or_insert_with(ErrorExtensionValues::default)
}

fn violation(violation: &Violation) -> Value {
    let path = violation.path.iter().map(|part| Value::from(part.as_str())).collect();
    Value::Object(
        [
            (async_graphql::Name::new("path"), Value::List(path)),
            (async_graphql::Name::new("message"), Value::from(violation.message.as_str())),
        ]
        .into_iter()
        .collect(),
    )
}

fn path(path: &[PathSegment]) -> String {
    let part = |segment: &PathSegment| match segment {
        PathSegment::Field(name) => name.clone(),
        PathSegment::Index(index) => index.to_string(),
    };
    path.iter().map(part).collect::<Vec<_>>().join(".")
}
