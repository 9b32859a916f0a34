//! Validation as a step of its own. The library does it inside of `Schema::execute`; so that its
//! time can be told from that of the resolvers, a second schema does it and stops before execution.
//! The schema that executes has no extensions: with one, every scalar would take a slower road.

use std::sync::Arc;

use async_graphql::{
    Request, Response, ServerError, Value,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute},
};
use futures_util::FutureExt;

use super::{CatalogueSchema, Exposure, Purpose};
use crate::config::limits::DocumentLimits;

/// Checks documents and variables against the schema.
#[derive(Clone)]
pub struct Validator(CatalogueSchema);

impl Validator {
    /// With these limits.
    pub fn new(limits: &DocumentLimits, exposure: Exposure) -> Self {
        Self(CatalogueSchema::new(limits, exposure, Purpose::Validation))
    }

    /// What is wrong with a request.
    pub fn validate(&self, request: Request) -> Vec<ServerError> {
        let response = self.0.execute(request).now_or_never();
        response.expect("nothing is waited for before execution").errors
    }
}

/// Has a schema do everything up to execution.
pub struct StopBeforeExecution;

impl ExtensionFactory for StopBeforeExecution {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for StopBeforeExecution {
    async fn execute(
        &self,
        _: &ExtensionContext<'_>,
        _: Option<&str>,
        _: NextExecute<'_>,
    ) -> Response {
        Response::new(Value::Null)
    }
}
