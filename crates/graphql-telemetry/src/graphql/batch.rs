//! The spans of DataLoader batches.

use std::sync::{Arc, LazyLock};

use metrics::{Histogram, Label};
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, Status, TraceContextExt},
};

use runtime_insight::{Section, in_section};

use super::{Field, OperationError};
use crate::{attribute, catalog::DATALOADER_BATCH, handle_cache::HandleCache, traces::start_span};

/// The fields that asked for a batch, each once.
#[derive(Debug, Default)]
pub struct RequestingFields(Vec<Arc<Field>>);

impl RequestingFields {
    /// Adds a field.
    pub fn add(&mut self, field: &Arc<Field>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, field)) {
            self.0.push(field.clone());
        }
    }

    /// Starts the span of their batch, a child of that of the first field.
    #[must_use]
    pub fn batch(&self, loader: &'static str, keys: usize) -> Batch {
        static SIZES: LazyLock<HandleCache<&'static str, Histogram>> = LazyLock::new(|| {
            HandleCache::new(|loader: &&'static str| {
                DATALOADER_BATCH.histogram(vec![Label::new(attribute::DATALOADER, *loader)])
            })
        });
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
        SIZES.get(loader).record(keys as f64);
        let parent = self.0.first().map(|field| field.context().clone()).unwrap_or_default();
        let link =
            |field: &Arc<Field>| Link::with_context(field.context().span().span_context().clone());
        let links = self.0.iter().map(link).collect();
        let name = format!("GraphQL DataLoader Batch {loader}");
        let context = start_span(SpanBuilder::from_name(name).with_links(links), &parent, || {
            let keys = i64::try_from(keys).unwrap_or(i64::MAX);
            [
                KeyValue::new(attribute::DATALOADER, loader),
                KeyValue::new(attribute::BATCH_SIZE, keys),
            ]
        });
        Batch { context, section: self.0.first().map(|field| field.section()) }
    }
}

/// A batch that is being loaded; over when dropped.
#[derive(Debug)]
pub struct Batch {
    context: Context,
    section: Option<Arc<Section>>,
}

impl Batch {
    /// Returns the context that the batch's statements belong to.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Does its work, in the name of the field that asked first.
    pub async fn work<F: Future>(&self, work: F) -> F::Output {
        match &self.section {
            Some(section) => in_section(section.clone(), work).await,
            None => work.await,
        }
    }

    /// Notes that it failed.
    pub fn fail(&self, error: &impl OperationError) {
        let code = error.error_code();
        if code.is_server_fault {
            self.context.span().set_status(Status::error(code.name));
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.context.span().end();
    }
}
