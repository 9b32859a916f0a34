//! GraphQL over HTTP, September 2026 edition, POST and GET, no batching. What the edition demands,
//! and where this departs from it, is in `docs/graphql-over-http.md`, each with its test.

mod request;
mod response;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{body::Body, extract::Request, response::Response};

use crate::{
    error::{Code, Error},
    graphql::execution::engine::RawRequest,
    http::{
        AppState, bearer,
        negotiate::MediaType,
        server::{Connection, peer_key},
    },
};

pub(super) use self::request::RequestError;
pub(super) use self::request::from_parameters;
pub(super) use self::response::Rendered;
pub(super) use self::response::error_response;

/// Responds to a GraphQL request.
pub async fn handle(public: Arc<AppState>, request: Request) -> Response {
    let Some(media_type) = MediaType::accepted(request.headers()) else {
        let message = "A response can be had as application/graphql-response+json or \
                       application/json.";
        return error_response(MediaType::Json, Error::Client(Code::NotAcceptable, message.into()));
    };
    // Before the body is read.
    let caller =
        match public.access.caller(bearer::token(request.headers()), client(&request)).await {
            Ok(caller) => caller,
            Err(refused) => {
                let error = Error::Client(Code::Unauthenticated, refused.to_string());
                return error_response(media_type, error);
            }
        };
    let raw = match request::read(&public, request).await {
        Ok(raw) => RawRequest { caller, ..raw },
        Err(error) => return error_response(media_type, error),
    };
    let answer = match public.engine.prepare(raw).await {
        Ok(operation) => public.engine.run(operation).await,
        Err(answer) => *answer,
    };
    response::of_operation(media_type, answer)
}

/// The host that asks.
fn client(request: &Request) -> IpAddr {
    let connection = request.extensions().get::<Connection>();
    connection.map_or(Ipv4Addr::UNSPECIFIED.into(), |it| peer_key(it.client))
}

/// The response to a request whose handling panicked outside of any resolver.
#[must_use]
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response<Body> {
    error_response(MediaType::Json, Error::Internal("a handler panicked".into()))
}
