//! The schema over the catalogue, and the running of one operation.

mod compat;
pub mod connection;
pub mod context;
pub mod dataloader;
pub mod execution;
pub mod input;
pub mod lab;
pub mod mutation;
pub mod node;
mod prefetch;
pub mod query;
pub mod types;

use async_graphql::{
    EmptySubscription, ObjectType, Request, Response, SDLExportOptions, Schema, ValidationMode,
};

use self::{
    connection::{AuthorConnection, BookConnection},
    lab::QueryWithLab,
    mutation::Mutation,
    query::Query,
};

/// The service's schema.
#[derive(Clone)]
pub enum CatalogSchema {
    /// As committed in `schema.graphql`.
    Plain(Schema<Query, Mutation, EmptySubscription>),
    /// With the laboratory's fields.
    WithLab(Schema<QueryWithLab, Mutation, EmptySubscription>),
}

/// What of a schema is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaOptions {
    /// Whether the laboratory's fields are.
    pub lab: bool,
    /// Whether it responds to introspection.
    pub introspection: bool,
}

impl CatalogSchema {
    /// The schema.
    #[must_use]
    pub fn new(exposure: SchemaOptions) -> Self {
        if exposure.lab {
            Self::WithLab(build(QueryWithLab::default(), exposure.introspection))
        } else {
            Self::Plain(build(Query, exposure.introspection))
        }
    }

    /// Executes a request.
    pub async fn execute(&self, request: impl Into<Request>) -> Response {
        match self {
            Self::Plain(schema) => schema.execute(request).await,
            Self::WithLab(schema) => schema.execute(request).await,
        }
    }

    /// The schema in the GraphQL schema language.
    #[must_use]
    pub fn sdl(&self) -> String {
        let options = SDLExportOptions::new().include_specified_by();
        let text = match self {
            Self::Plain(schema) => schema.sdl_with_options(options),
            Self::WithLab(schema) => schema.sdl_with_options(options),
        };
        format!("{}\n", text.trim())
    }
}

fn build<Q: ObjectType + 'static>(
    query: Q,
    introspection: bool,
) -> Schema<Q, Mutation, EmptySubscription> {
    let builder = Schema::build(query, Mutation, EmptySubscription)
        // Documents are valid and within the limits: see `documents`.
        .validation_mode(ValidationMode::Fast)
        .limit_recursive_depth(usize::MAX)
        .override_output_type_description::<BookConnection>("A page of a list of books.")
        .override_output_type_description::<AuthorConnection>("A page of a list of authors.")
        .override_output_type_description::<connection::BookEdge>("A book and its place in a list.")
        .override_output_type_description::<connection::AuthorEdge>(
            "An author and their place in a list.",
        );
    if introspection { builder } else { builder.disable_introspection() }.finish()
}
