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
        negotiate::{self, MediaType},
        server::{Connection, peer_key},
        sse,
    },
    security::{AuthError, Caller},
};

pub(super) use self::request::RequestError;
pub(super) use self::request::from_parameters;
pub(super) use self::response::Rendered;
pub(super) use self::response::{error_response, render, write};

/// Responds to a GraphQL request.
pub async fn handle(state: Arc<AppState>, request: Request) -> Response {
    let accepts_events = negotiate::accepts_events(request.headers());
    // Of events only, what is rejected before it is executed has the newer type, and so a status.
    let accepted = MediaType::accepted(request.headers());
    let Some(media_type) = accepted.or(accepts_events.then_some(MediaType::GraphqlResponse)) else {
        let message = "The supported media types are application/graphql-response+json, \
                       application/json and text/event-stream.";
        return error_response(MediaType::Json, Error::Client(Code::NotAcceptable, message.into()));
    };
    // Before the body is read.
    let client = Client::of(&request);
    let caller = match client.authenticate(&state).await {
        Ok(caller) => caller,
        Err(refused) => {
            let error = Error::Client(Code::Unauthenticated, refused.to_string());
            return error_response(media_type, error);
        }
    };
    let (request, info) = match request::read(&state, request, accepts_events).await {
        Ok((request, info)) => (request, RequestInfo { caller, streams: accepts_events, ..info }),
        Err(error) => return error_response(media_type, error),
    };
    let operation = match state.engine.prepare(request, info).await {
        Ok(operation) => operation,
        Err(response) => return response::of_operation(&state, media_type, *response).await,
    };
    if operation.is_subscription() {
        return match state.engine.subscribe(operation, render(state.clone())).await {
            Ok(subscription) => sse::stream(state, client, caller, subscription),
            Err(response) => response::of_operation(&state, media_type, *response).await,
        };
    }
    let (engine, responder) = (state.engine.clone(), state.clone());
    let respond = async move |response| {
        if accepted.is_none() {
            sse::single(&responder, response).await
        } else {
            response::of_operation(&responder, media_type, response).await
        }
    };
    engine.run(operation, respond).await.unwrap_or_else(|_| {
        error_response(media_type, Error::Internal("the operation was aborted".into()))
    })
}

/// Who sends a request, for as long as a response to it lasts.
pub(super) struct Client {
    token: Option<String>,
    peer: IpAddr,
    /// Its connection; none in tests without one.
    pub connection: Option<Connection>,
}

impl Client {
    fn of(request: &Request) -> Self {
        let connection = request.extensions().get::<Connection>().cloned();
        let unknown = Ipv4Addr::UNSPECIFIED.into();
        Self {
            token: bearer::token(request.headers()).map(str::to_owned),
            peer: connection.as_ref().map_or(unknown, |it| peer_key(it.client)),
            connection,
        }
    }

    /// The caller whose token it has.
    ///
    /// # Errors
    /// If a token is needed and this is no good one, or not any more.
    pub async fn authenticate(&self, state: &AppState) -> Result<Caller, AuthError> {
        state.access.caller(self.token.as_deref(), self.peer).await
    }
}

/// The response to a request whose handling panicked outside of any resolver.
#[must_use]
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response<Body> {
    error_response(MediaType::Json, Error::Internal("a handler panicked".into()))
}
