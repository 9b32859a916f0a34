//! The schema: its roots, made of those of each entity.

use async_graphql::{
    EmptySubscription, MergedObject, ObjectType, Request, Response, SDLExportOptions, Schema,
    ValidationMode,
};

use crate::graphql::{
    author::{AuthorConnection, AuthorEdge, AuthorMutation, AuthorQuery},
    book::{BookConnection, BookEdge, BookMutation, BookQuery},
    lab::Lab,
    node::NodeQuery,
};

/// What can be read.
#[derive(Default, MergedObject)]
pub struct Query(NodeQuery, BookQuery, AuthorQuery);

/// What can be read, and fields that misbehave.
#[derive(Default, MergedObject)]
#[graphql(name = "Query")]
pub struct QueryWithLab(NodeQuery, BookQuery, AuthorQuery, Lab);

/// What can be changed. The fields of one mutation are executed one after the other.
#[derive(Default, MergedObject)]
pub struct Mutation(BookMutation, AuthorMutation);

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
    pub fn new(options: SchemaOptions) -> Self {
        if options.lab {
            Self::WithLab(build::<QueryWithLab>(options.introspection))
        } else {
            Self::Plain(build::<Query>(options.introspection))
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

fn build<Q: ObjectType + Default + 'static>(
    introspection: bool,
) -> Schema<Q, Mutation, EmptySubscription> {
    let builder = Schema::build(Q::default(), Mutation::default(), EmptySubscription)
        // Documents are valid and within the limits: see `documents`.
        .validation_mode(ValidationMode::Fast)
        .limit_recursive_depth(usize::MAX)
        .override_output_type_description::<BookConnection>("A page of a list of books.")
        .override_output_type_description::<AuthorConnection>("A page of a list of authors.")
        .override_output_type_description::<BookEdge>("A book and its place in a list.")
        .override_output_type_description::<AuthorEdge>("An author and their place in a list.");
    if introspection { builder } else { builder.disable_introspection() }.finish()
}
