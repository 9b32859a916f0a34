//! The schema over the catalog, an entity in a file or folder, and the execution of operations.

mod author;
mod book;
mod compat;
mod connection;
mod context;
mod dataloader;
pub mod execution;
mod inputs;
mod lab;
mod node;
mod subscription;

use async_graphql::{
    Context, ID, MergedObject, Object, ObjectType, Request, Response, SDLExportOptions, Schema,
    ValidationMode,
};
use futures_util::StreamExt;

use self::{
    author::{Author, AuthorConnection, AuthorEdge, AuthorMutation, AuthorQuery},
    book::{Book, BookConnection, BookEdge, BookMutation, BookQuery},
    context::resolve_query,
    lab::Lab,
    node::nodes,
    subscription::Subscription,
};
use crate::{
    catalog::pagination::MAX_PAGE,
    error::{Error, Result},
};

nodes!(Book, Author);

/// The queries.
#[derive(Default, MergedObject)]
pub struct Query(NodeQuery, BookQuery, AuthorQuery);

/// What can be read, and fields that misbehave.
#[derive(Default, MergedObject)]
#[graphql(name = "Query")]
pub struct QueryWithLab(NodeQuery, BookQuery, AuthorQuery, Lab);

/// The mutations. The fields of one operation are executed one after the other.
#[derive(Default, MergedObject)]
pub struct Mutation(BookMutation, AuthorMutation);

/// The service's schema.
#[derive(Clone)]
pub enum CatalogSchema {
    /// As committed in `schema.graphql`.
    Plain(Schema<Query, Mutation, Subscription>),
    /// With the laboratory's fields.
    WithLab(Schema<QueryWithLab, Mutation, Subscription>),
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

    /// Executes a subscription's request for the event in its context; none if its field makes no value.
    pub async fn execute_event(&self, request: impl Into<Request>) -> Option<Response> {
        let mut responses = match self {
            Self::Plain(schema) => schema.execute_stream(request),
            Self::WithLab(schema) => schema.execute_stream(request),
        };
        responses.next().await
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
) -> Schema<Q, Mutation, Subscription> {
    let builder = Schema::build(Q::default(), Mutation::default(), Subscription)
        // Documents are valid and within the limits: see `documents`.
        .validation_mode(ValidationMode::Fast)
        .limit_recursive_depth(usize::MAX)
        .override_output_type_description::<BookConnection>("A page of a list of books.")
        .override_output_type_description::<AuthorConnection>("A page of a list of authors.")
        .override_output_type_description::<BookEdge>("A book and its cursor.")
        .override_output_type_description::<AuthorEdge>("An author and their cursor.");
    if introspection { builder } else { builder.disable_introspection() }.finish()
}

/// The queries of objects by their ids.
#[derive(Default)]
pub struct NodeQuery;

/// The queries of objects by their ids.
#[Object]
impl NodeQuery {
    /// The object with this id, or null if there is none.
    async fn node(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "A global id of any type.")] id: ID,
    ) -> Result<Option<Node>> {
        resolve_query(context, async |call| {
            let id = Node::parse(&id, "id")?;
            Ok(Node::find(&call.reader(), &[id]).await?.pop().flatten())
        })
        .await
    }

    /// The objects with these ids, in the same order, with null where there is none.
    async fn nodes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Global ids of any types (maximum 100).")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        resolve_query(context, async |call| {
            if ids.len() as u64 > MAX_PAGE {
                return Err(Error::invalid(["ids"], format!("must be at most {MAX_PAGE}")));
            }
            let mut parsed = Vec::with_capacity(ids.len());
            for (i, id) in ids.iter().enumerate() {
                let id = Node::parse(id, &i.to_string());
                parsed.push(id.map_err(|error| error.with_path_prefix(["ids"]))?);
            }
            Node::find(&call.reader(), &parsed).await
        })
        .await
    }
}
