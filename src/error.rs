//! One enum of errors, each with a stable code. What a client may see and what
//! only the log may see are two methods of the same value.

mod code;

use graphql_telemetry::{
    graphql::{ErrorCode, OperationError},
    sea_orm::DatabaseFault,
};
use sea_orm::DbErr;

pub use self::code::Code;

/// The result of everything below the GraphQL layer.
pub type Result<T> = std::result::Result<T, Error>;

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
    /// A client error, with its code.
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
    fn masks_faults_and_shows_client_errors() {
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
        assert_eq!(error.code().status(), axum::http::StatusCode::SERVICE_UNAVAILABLE);
    }
}
