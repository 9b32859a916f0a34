//! Responses of `/debug/…` that have nothing to show.

use std::fmt::Display;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

/// Why there is nothing to see.
pub struct Rejection(pub StatusCode, pub String);

impl Rejection {
    pub fn failed(error: impl Display) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}
