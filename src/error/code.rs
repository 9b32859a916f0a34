//! The codes of errors, and the HTTP status of each.

use axum::http::StatusCode;
use graphql_telemetry::{graphql::ErrorCode, sea_orm::FaultClass};

/// The value of `extensions.code` in a response. Stable: clients branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// An argument or a field of an input breaks a rule; see `extensions.violations`.
    BadUserInput,
    /// What the mutation should change does not exist.
    NotFound,
    /// The change contradicts the present state: a stale version, a taken ISBN, a name in use.
    Conflict,
    /// The document is not GraphQL.
    GraphqlParseFailed,
    /// The document or its variables do not fit the schema.
    GraphqlValidationFailed,
    /// The document has no operation of that name, or several and no name was given.
    OperationResolutionFailure,
    /// The document or the request is larger or deeper than the service allows.
    LimitExceeded,
    /// Nobody knows the document of this hash: send its text too.
    PersistedQueryNotFound,
    /// Documents cannot be named by their hash here: always send the text.
    PersistedQueryNotSupported,
    /// Only documents known beforehand are served, and this is none.
    DocumentNotTrusted,
    /// The request says not, or not so that it can be believed, who sends it.
    Unauthenticated,
    /// The sender's token, or the database, does not permit this.
    Forbidden,
    /// The request is not GraphQL over HTTP.
    BadRequest,
    /// The method cannot be used here, such as GET for a mutation.
    MethodNotAllowed,
    /// None of the media types in `Accept` can be had.
    NotAcceptable,
    /// The body's `Content-Type` is not `application/json`.
    UnsupportedMediaType,
    /// The body was not received in time.
    RequestTimeout,
    /// The operation timed out.
    Timeout,
    /// The service has no room for the operation now; try again.
    Overloaded,
    /// The database cannot be reached; try again.
    DatabaseUnavailable,
    /// A fault of the service, described in its log.
    InternalServerError,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 21] = [
        Self::BadUserInput,
        Self::NotFound,
        Self::Conflict,
        Self::GraphqlParseFailed,
        Self::GraphqlValidationFailed,
        Self::OperationResolutionFailure,
        Self::LimitExceeded,
        Self::PersistedQueryNotFound,
        Self::PersistedQueryNotSupported,
        Self::DocumentNotTrusted,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::BadRequest,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::UnsupportedMediaType,
        Self::RequestTimeout,
        Self::Timeout,
        Self::Overloaded,
        Self::DatabaseUnavailable,
        Self::InternalServerError,
    ];

    /// The code as clients and telemetry see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::GraphqlParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::GraphqlValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::OperationResolutionFailure => "OPERATION_RESOLUTION_FAILURE",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::PersistedQueryNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
            Self::DocumentNotTrusted => "DOCUMENT_NOT_TRUSTED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::BadRequest => "BAD_REQUEST",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::NotAcceptable => "NOT_ACCEPTABLE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::Timeout => "TIMEOUT",
            Self::Overloaded => "OVERLOADED",
            Self::DatabaseUnavailable => "DATABASE_UNAVAILABLE",
            Self::InternalServerError => "INTERNAL_SERVER_ERROR",
        }
    }

    /// What a failed statement means for the client. A constraint that nobody expected to break is the
    /// service's fault.
    pub(super) const fn of_fault(class: FaultClass) -> Self {
        match class {
            FaultClass::Unavailable => Self::DatabaseUnavailable,
            FaultClass::Timeout => Self::Timeout,
            FaultClass::Denied => Self::Forbidden,
            FaultClass::Constraint | FaultClass::Internal => Self::InternalServerError,
        }
    }

    /// Whether the service is at fault and not the client.
    #[must_use]
    pub const fn is_server_fault(self) -> bool {
        matches!(
            self,
            Self::Timeout
                | Self::Overloaded
                | Self::DatabaseUnavailable
                | Self::InternalServerError
        )
    }

    /// The HTTP status of a response that has this error and no data.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::DocumentNotTrusted => StatusCode::FORBIDDEN,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Overloaded | Self::DatabaseUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadRequest | Self::GraphqlParseFailed => StatusCode::BAD_REQUEST,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl From<Code> for ErrorCode {
    fn from(code: Code) -> Self {
        Self { name: code.as_str(), is_server_fault: code.is_server_fault() }
    }
}
