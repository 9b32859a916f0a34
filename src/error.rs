//! One enum of errors, each with a stable code. What a client may see and what
//! only the log may see are two methods of the same value.

use axum::http::StatusCode;
use graphql_telemetry::{
    graphql::{ErrorCode, OperationError},
    sea_orm::{DatabaseFault, FaultClass},
};
use sea_orm::DbErr;

/// The result of everything below the GraphQL layer.
pub type Result<T> = std::result::Result<T, Error>;

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
    const fn of_fault(class: FaultClass) -> Self {
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

/// A broken rule and the field of the input that broke it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// From the argument down, such as `input`, `authors`, `0`, `name`.
    pub path: Vec<String>,
    /// What would be right.
    pub message: String,
}

impl Violation {
    /// A violation of the field at `path`.
    pub fn new<const N: usize>(path: [&str; N], message: impl Into<String>) -> Self {
        Self { path: path.map(str::to_owned).to_vec(), message: message.into() }
    }
}

/// Why something could not be done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Input that breaks rules, with every violation found.
    #[error("{}", summary(.0))]
    Invalid(Vec<Violation>),
    /// The thing named does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The change contradicts the present state.
    #[error("{0}")]
    Conflict(String),
    /// The client's mistake, told by its code.
    #[error("{1}")]
    Client(Code, String),
    /// The operation ran into its time limit.
    #[error("{0}")]
    Timeout(String),
    /// There is no room for the operation.
    #[error("concurrency limit reached")]
    Overloaded,
    /// The database cannot yet be used.
    #[error("the database cannot be used: {0}")]
    DatabaseUnavailable(String),
    /// A statement failed in a way that is no client's doing.
    #[error("the database failed: {0}")]
    Database(DatabaseFault),
    /// The database permits the service to read, but not to make this change.
    #[error("writing is not permitted: {0}")]
    WriteDenied(DatabaseFault),
    /// A resolver panicked, or an invariant broke.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// An [`Error::Invalid`] with one violation.
    pub fn invalid<const N: usize>(path: [&str; N], message: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(path, message)])
    }

    /// This error with the paths of its violations as they are below `path`.
    #[must_use]
    pub fn with_path_prefix<const N: usize>(mut self, path: [&str; N]) -> Self {
        if let Self::Invalid(violations) = &mut self {
            for violation in violations {
                violation.path.splice(0..0, path.map(str::to_owned));
            }
        }
        self
    }

    /// This error as one of a mutation: the permission that the database denies is to write.
    #[must_use]
    pub fn in_mutation(self) -> Self {
        match self {
            Self::Database(fault) if fault.is_denial() => Self::WriteDenied(fault),
            other => other,
        }
    }

    /// The statement's failure, if the database denies the service a permission.
    #[must_use]
    pub fn denial(&self) -> Option<&DatabaseFault> {
        match self {
            Self::Database(fault) | Self::WriteDenied(fault) => {
                Some(fault).filter(|fault| fault.is_denial())
            }
            _ => None,
        }
    }

    /// The stable code of this error.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::BadUserInput,
            Self::NotFound(_) => Code::NotFound,
            Self::Conflict(_) => Code::Conflict,
            Self::Client(code, _) => *code,
            Self::Timeout(_) => Code::Timeout,
            Self::Overloaded => Code::Overloaded,
            Self::DatabaseUnavailable(_) => Code::DatabaseUnavailable,
            Self::Database(fault) | Self::WriteDenied(fault) => Code::of_fault(fault.class()),
            Self::Internal(_) => Code::InternalServerError,
        }
    }

    /// What the client may read: its own mistakes in full, the service's faults masked.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::DatabaseUnavailable(reason) => {
                return format!("The database is not available: {reason}.");
            }
            Self::WriteDenied(_) => {
                return "The database does not permit writing.".into();
            }
            Self::Database(fault) if fault.is_denial() => {
                return "The database does not permit reading this.".into();
            }
            _ => {}
        }
        match self.code() {
            Code::Timeout => "The operation timed out.".into(),
            Code::Overloaded => "The service is overloaded; try again later.".into(),
            Code::DatabaseUnavailable => "The database is not reachable.".into(),
            Code::InternalServerError => "Internal server error; see the service's log.".into(),
            _ => self.to_string(),
        }
    }
}

impl OperationError for Error {
    fn error_code(&self) -> ErrorCode {
        self.code().into()
    }

    fn is_recorded(&self) -> bool {
        matches!(self, Self::Database(_))
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        Self::Database(DatabaseFault::from(&error))
    }
}

fn summary(violations: &[Violation]) -> String {
    let list: Vec<String> =
        violations.iter().map(|v| format!("{}: {}", v.path.join("."), v.message)).collect();
    list.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_masked_and_mistakes_are_not() {
        let fault = Error::from(DbErr::Custom("SELECT secret FROM passwords".into()));
        assert_eq!(fault.code(), Code::InternalServerError);
        assert!(fault.code().is_server_fault());
        assert!(!fault.public_message().contains("secret"));
        let mistake = Error::invalid(["input", "title"], "must not be empty");
        assert_eq!(mistake.public_message(), "input.title: must not be empty");
        assert!(!mistake.code().is_server_fault());
    }

    #[test]
    fn an_exhausted_pool_is_an_unavailable_database() {
        let error = Error::from(DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout));
        assert_eq!(error.code(), Code::DatabaseUnavailable);
        assert_eq!(error.code().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
