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
    graphql::execution::engine::RequestInfo,
    http::{
        AppState, bearer,
        negotiate::MediaType,
        server::{Connection, peer_key},
    },
};

pub(super) use self::request::RequestError;
pub(super) use self::request::from_parameters;
pub(super) use self::response::Rendered;
pub(super) use self::response::{error_response, write};

/// Responds to a GraphQL request.
pub async fn handle(state: Arc<AppState>, request: Request) -> Response {
    let Some(media_type) = MediaType::accepted(request.headers()) else {
        let message = "The supported media types are application/graphql-response+json and \
                       application/json.";
        return error_response(MediaType::Json, Error::Client(Code::NotAcceptable, message.into()));
    };
    // Before the body is read.
    let caller = match state.access.caller(bearer::token(request.headers()), client(&request)).await
    {
        Ok(caller) => caller,
        Err(refused) => {
            let error = Error::Client(Code::Unauthenticated, refused.to_string());
            return error_response(media_type, error);
        }
    };
    let (request, info) = match request::read(&state, request).await {
        Ok((request, info)) => (request, RequestInfo { caller, ..info }),
        Err(error) => return error_response(media_type, error),
    };
    let operation = match state.engine.prepare(request, info).await {
        Ok(operation) => operation,
        Err(response) => return response::of_operation(&state, media_type, *response).await,
    };
    let (engine, responder) = (state.engine.clone(), state.clone());
    let respond =
        async move |response| response::of_operation(&responder, media_type, response).await;
    engine.run(operation, respond).await.unwrap_or_else(|_| {
        error_response(media_type, Error::Internal("the operation was aborted".into()))
    })
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
