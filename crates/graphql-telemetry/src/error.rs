//! Why telemetry cannot be installed.

use std::{io, net::SocketAddr};

use otlp_export::OtlpError;

use crate::settings::BadVariable;

/// Why telemetry could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A variable of the environment has a value that cannot be used.
    #[error(transparent)]
    Variable(#[from] BadVariable),
    /// A collector cannot be talked to as the settings have it.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    /// tokio-console cannot be served.
    #[error("cannot serve tokio-console at {0} (TOKIO_CONSOLE_BIND): {1}")]
    Console(SocketAddr, io::Error),
    /// The threads of the exporters and of log lines cannot be started.
    #[error("cannot start the thread that exports telemetry: {0}")]
    Thread(#[from] io::Error),
    /// The log filter is none.
    #[error("the log filter is invalid: {0}")]
    Filter(String),
    /// This process has one already, which is there for good.
    #[error("this process has a {0} already")]
    Installed(&'static str),
}
