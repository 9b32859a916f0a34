//! Errors, as telemetry sees those of any application.

use std::error::Error;

/// The code of an error, as clients get it in `extensions.code`, and whose fault it is.
///
/// The codes of an application are a fixed set: they become values of the label `error.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode {
    /// Such as `NOT_FOUND`.
    pub name: &'static str,
    /// Whether the service is at fault and not the client: its spans then have the status ERROR.
    pub is_server_fault: bool,
}

/// An error that ends the call of a field, a batch, or an operation.
pub trait OperationError: Error + 'static {
    /// Returns its code.
    fn error_code(&self) -> ErrorCode;

    /// Whether a span below the field's has recorded it already, as that of a statement does.
    fn is_recorded(&self) -> bool {
        false
    }
}
