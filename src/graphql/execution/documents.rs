//! Documents, from a client's text to what async-graphql executes.
//!
//! async-graphql 7 executes a field once for each time it is selected and joins the results by
//! position; its validation looks neither into merged selections nor into input objects. So it
//! never sees a client's document:
//!
//! ```text
//! text ── Compiler::parse ──► syntax tree         limits of tokens and nesting
//!      ── Compiler::compile ► Document            all rules of the specification, our limits
//!      ── Operation::prepare ► PreparedOperation  variables coerced, selections merged, complexity
//!      ── PreparedOperation::request ► async_graphql::Request
//! ```
//!
//! Documents that were compiled are kept ([`cache`]), so that one that comes again costs its
//! variables and the copy that async-graphql takes.

pub mod cache;
mod compiler;
mod complexity;
mod limits;
mod literal;
mod lower;
mod merge;
mod redact;
mod rules;
pub mod trusted;
mod variables;

#[cfg(test)]
pub(in crate::graphql) mod tests;

use std::{
    fmt::{self, Display},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use apollo_compiler::{ExecutableDocument, Node, Schema, executable, validation::Valid};
use async_graphql::{Variables, parser::types::OperationType};
use graphql_telemetry::intern;
use sha2::{Digest, Sha256};

pub use self::compiler::Compiler;
pub use self::lower::PreparedOperation;
pub use self::lower::TYPE_MARKER;
pub use self::merge::Field;
pub use self::merge::Selections;
use crate::{
    config::limits::DocumentLimits,
    error::{Code, Error},
    graphql::execution::{
        documents::{
            merge::{MergedOperation, Merger},
            variables::{VariableDefinition, coerce},
        },
        errors::Rejection,
    },
};

/// Combinations of the variables of `@skip` and `@include` whose merged selections an operation
/// keeps. Further ones are merged anew each time.
const KEPT_COMBINATIONS: usize = 16;

/// The SHA-256 of a document's text, by which persisted documents are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of a document's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Without a prefix, which the library takes.
        let hash = if text.len() == 64 { const_hex::decode_to_array(text).ok() } else { None };
        hash.map(Self)
    }
}

impl Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(const_hex::Buffer::<32>::new().format(&self.0))
    }
}

/// How a request names a document whose text it does not send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DocumentId {
    /// By its hash.
    Hash(Hash),
    /// By the id in a manifest of trusted documents.
    Other(String),
}

impl DocumentId {
    /// Reads an id: `sha256:` with a hash, a hash alone, or anything else.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let hash = Hash::parse(text.strip_prefix("sha256:").unwrap_or(text));
        hash.map_or_else(|| Self::Other(text.to_owned()), Self::Hash)
    }
}

/// A valid document that is within the limits.
pub struct Document {
    /// The text as the client or the manifest has it.
    pub text: String,
    /// The hash of the text.
    pub hash: Hash,
    /// The hash as hexadecimal digits.
    pub hex: Arc<str>,
    redacted: OnceLock<String>,
    operations: Vec<Arc<Operation>>,
}

/// One of a document's operations.
pub struct Operation {
    /// The name that the client gave it.
    pub name: Option<Arc<str>>,
    /// Query or mutation.
    pub kind: OperationType,
    /// The coordinate of its root field.
    pub root_field: &'static str,
    /// Its name as a label of metrics: only of trusted documents, whose number is known.
    pub label: Option<&'static str>,
    variables: Vec<VariableDefinition>,
    selections: MergedSelections,
}

/// The merged selections of an operation.
enum MergedSelections {
    /// Nothing depends on a variable.
    Unconditional(Arc<MergedOperation>),
    /// `@skip` or `@include` have variables.
    Conditional(Box<Conditional>),
}

/// An operation whose selections depend on variables.
struct Conditional {
    document: Arc<Valid<ExecutableDocument>>,
    operation: Node<executable::Operation>,
    /// The variables of `@skip` and `@include`.
    variables: Vec<apollo_compiler::Name>,
    /// The merged selections of the combinations of their values that were asked for.
    merged: Mutex<Vec<(Vec<bool>, Arc<MergedOperation>)>>,
}

impl Document {
    /// The text without literals and comments, for spans.
    #[must_use]
    pub fn redacted(&self) -> &str {
        self.redacted.get_or_init(|| redact::without_literals(&self.text))
    }

    /// Whether the selections of one of its operations depend on variables.
    fn is_conditional(&self) -> bool {
        let is_it = |it: &Arc<Operation>| matches!(it.selections, MergedSelections::Conditional(_));
        self.operations.iter().any(is_it)
    }

    /// Lets the names of its first operations be labels, as long as there are `left`. Returns how
    /// many are left for other documents.
    pub fn label(&mut self, mut left: usize) -> usize {
        for operation in self.operations.iter_mut().filter_map(Arc::get_mut) {
            let Some(name) = operation.name.as_ref().filter(|_| left > 0) else { continue };
            operation.label = Some(intern(name));
            left -= 1;
        }
        left
    }

    /// Its operations, in the order of the document.
    #[must_use]
    pub fn operations(&self) -> &[Arc<Operation>] {
        &self.operations
    }

    /// The operation to run: the one named, or the only one (`GetOperation` in section 6.1 of the
    /// specification).
    ///
    /// # Errors
    /// [`Code::OperationResolutionFailure`] if there is none of that name, or there are several
    /// and none was named.
    pub fn operation(&self, name: Option<&str>) -> Result<&Arc<Operation>, Error> {
        let failure = |message: &str| {
            Err(Error::Client(Code::OperationResolutionFailure, message.to_owned()))
        };
        if let Some(name) = name {
            return match self.operations.iter().find(|it| it.name.as_deref() == Some(name)) {
                Some(operation) => Ok(operation),
                None => failure("The document has no operation with this name."),
            };
        }
        match &*self.operations {
            [only] => Ok(only),
            _ => failure("The document has several operations; operationName is required."),
        }
    }
}

impl Operation {
    /// Coerces the values of its variables, which are within the limits, decides `@skip` and `@include`, and checks its
    /// complexity.
    ///
    /// # Errors
    /// Those of the variables, with [`Code::GraphqlValidationFailed`]; or
    /// [`Code::LimitExceeded`].
    pub fn prepare(
        &self,
        schema: &Valid<Schema>,
        limits: &DocumentLimits,
        variables: Variables,
    ) -> Result<PreparedOperation, Rejection> {
        let variables = coerce(schema, &self.variables, variables)?;
        let merged = match &self.selections {
            MergedSelections::Unconditional(merged) => merged.clone(),
            MergedSelections::Conditional(conditional) => {
                conditional.merged(schema, limits, variables.booleans(&conditional.variables)?)?
            }
        };
        limits.check_complexity(&merged.fields, &variables)?;
        Ok(PreparedOperation { kind: self.kind, merged, variables })
    }
}

impl Conditional {
    /// The merged selections where the variables of `@skip` and `@include` have these values.
    fn merged(
        &self,
        schema: &Valid<Schema>,
        limits: &DocumentLimits,
        values: Vec<bool>,
    ) -> Result<Arc<MergedOperation>, Rejection> {
        let lock = || self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, merged)) = lock().iter().find(|(known, _)| *known == values) {
            return Ok(merged.clone());
        }
        let merged = Merger::new(schema, &self.document, limits.max_selections)
            .with_conditions(&self.variables, &values)
            .operation(&self.operation)?;
        let merged = Arc::new(merged);
        let mut kept = lock();
        if kept.len() < KEPT_COMBINATIONS {
            kept.push((values, merged.clone()));
        }
        Ok(merged)
    }
}
