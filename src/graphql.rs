//! The schema over the catalogue, and the running of one operation.

pub mod admission;
pub mod arrange;
pub mod connection;
pub mod coordinates;
pub mod dataloader;
pub mod documents;
pub mod engine;
pub mod guard;
pub mod id;
mod in_place;
pub mod input;
pub mod lab;
pub mod library;
pub mod loaders;
pub mod mutation;
pub mod nulls;
mod prefetch;
pub mod present;
pub mod query;
pub mod redact;
pub mod size;
pub mod trusted;
pub mod types;
mod validator;

use async_graphql::{
    EmptySubscription, ObjectType, Request, Response, SDLExportOptions, Schema, ValidationMode,
};

use self::{
    connection::{AuthorConnection, BookConnection},
    lab::QueryWithLab,
    mutation::Mutation,
    query::Query,
    validator::StopBeforeExecution,
};
use crate::config::limits::DocumentLimits;

/// The service's schema.
#[derive(Clone)]
pub enum CatalogueSchema {
    /// As committed in `schema.graphql`.
    Plain(Schema<Query, Mutation, EmptySubscription>),
    /// With the laboratory's fields.
    WithLab(Schema<QueryWithLab, Mutation, EmptySubscription>),
}

/// What of a schema is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Whether the laboratory's fields are.
    pub lab: bool,
    /// Whether it tells of itself, by introspection and by suggestions in errors.
    pub told: bool,
}

/// What a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// For documents that were validated.
    Execution,
    /// For finding out whether documents are valid.
    Validation,
}

impl CatalogueSchema {
    /// The schema.
    #[must_use]
    pub fn new(limits: &DocumentLimits, exposure: Exposure, purpose: Purpose) -> Self {
        if exposure.lab {
            Self::WithLab(build(QueryWithLab::default(), limits, exposure.told, purpose))
        } else {
            Self::Plain(build(Query, limits, exposure.told, purpose))
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
    limits: &DocumentLimits,
    told: bool,
    purpose: Purpose,
) -> Schema<Q, Mutation, EmptySubscription> {
    let builder = Schema::build(query, Mutation, EmptySubscription)
        .limit_complexity(limits.max_complexity)
        // The guard has refused deeper documents already.
        .limit_recursive_depth(limits.max_nesting)
        .override_output_type_description::<BookConnection>("A page of a list of books.")
        .override_output_type_description::<AuthorConnection>("A page of a list of authors.")
        .override_output_type_description::<connection::BookEdge>("A book and its place in a list.")
        .override_output_type_description::<connection::AuthorEdge>(
            "An author and their place in a list.",
        );
    let builder =
        if told { builder } else { builder.disable_introspection().disable_suggestions() };
    match purpose {
        Purpose::Execution => builder.validation_mode(ValidationMode::Fast),
        Purpose::Validation => builder.extension(StopBeforeExecution),
    }
    .finish()
}
