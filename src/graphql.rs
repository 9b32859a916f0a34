//! The schema over the catalogue, and the running of one operation.

pub mod arrange;
pub mod connection;
pub mod dataloader;
pub mod documents;
pub mod engine;
pub mod guard;
pub mod id;
pub mod input;
pub mod loaders;
pub mod mutation;
pub mod nulls;
pub mod present;
pub mod query;
pub mod types;
mod validator;

use async_graphql::{EmptySubscription, Schema, SchemaBuilder};

use self::{
    connection::{AuthorConnection, BookConnection},
    guard::Limits,
    mutation::Mutation,
    query::Query,
};

/// The service's schema.
pub type CatalogueSchema = Schema<Query, Mutation, EmptySubscription>;

/// The schema, to be finished.
#[must_use]
pub fn schema(limits: &Limits) -> SchemaBuilder<Query, Mutation, EmptySubscription> {
    Schema::build(Query, Mutation, EmptySubscription)
        .limit_complexity(limits.max_complexity)
        // The guard has refused deeper documents already.
        .limit_recursive_depth(limits.max_nesting)
        .override_output_type_description::<BookConnection>("A page of a list of books.")
        .override_output_type_description::<AuthorConnection>("A page of a list of authors.")
        .override_output_type_description::<connection::BookEdge>("A book and its place in a list.")
        .override_output_type_description::<connection::AuthorEdge>(
            "An author and their place in a list.",
        )
}

/// The schema in the GraphQL schema language, as committed in `schema.graphql`.
#[must_use]
pub fn sdl(schema: &CatalogueSchema) -> String {
    let options = async_graphql::SDLExportOptions::new().include_specified_by();
    format!("{}\n", schema.sdl_with_options(options).trim())
}
