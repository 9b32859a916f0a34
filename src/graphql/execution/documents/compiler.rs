//! Parsing and validation against our own schema.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, OnceLock},
};

use apollo_compiler::{
    ExecutableDocument, Name, Node, Schema,
    ast::{self, Value},
    executable::{self, Selection, SelectionSet},
    parser::Parser,
    validation::{DiagnosticList, Valid},
};
use async_graphql::{Pos, parser::types::OperationType};
use graphql_telemetry::{graphql::start_subscription_counters, intern, runtime};

use crate::{
    config::limits::DocumentLimits,
    error::{Code, Error},
    graphql::execution::{
        documents::{
            Conditional, Document, Hash, MergedSelections, Operation,
            limits::ListSizes,
            merge::{Merger, condition_of},
            rules,
            variables::VariableDefinition,
        },
        errors::{Rejection, located_error},
    },
};

/// Introspection types as async-graphql serves them beyond what `apollo-compiler` knows (October
/// 2021). Without it, tools that ask for `isOneOf` would be rejected.
const INTROSPECTION_EXTENSION: &str = "extend type __Type { isOneOf: Boolean }";

/// The root field of an operation with several, or with none of the schema's.
const MULTIPLE: &str = "_MULTIPLE";
const OTHER: &str = "_OTHER";

/// Makes documents of texts.
pub struct Compiler {
    schema: Valid<Schema>,
    limits: DocumentLimits,
    /// Whether clients may ask for the schema.
    introspection: bool,
    list_sizes: ListSizes,
    /// The coordinates of the root fields, such as `Query.books`, by type and name: a fixed set,
    /// so that they can name tasks and label metrics where a client's own names cannot.
    coordinates: HashMap<(Name, Name), &'static str>,
}

impl Compiler {
    /// A compiler of documents for the schema that `sdl` describes.
    ///
    /// # Panics
    /// If `sdl` is not a valid schema.
    #[must_use]
    pub fn new(sdl: &str, limits: &DocumentLimits, introspection: bool) -> Self {
        let sdl = format!("{sdl}\n{INTROSPECTION_EXTENSION}");
        let schema = Schema::parse_and_validate(sdl, "schema.graphql")
            .unwrap_or_else(|errors| panic!("the schema is not valid: {}", errors.errors));
        let mut coordinates = HashMap::new();
        for (kind, root) in schema.schema_definition.iter_root_operations() {
            for name in schema.get_object(root).into_iter().flat_map(|root| root.fields.keys()) {
                let coordinate = intern(&format!("{}.{name}", root.name));
                runtime::start_counter(coordinate);
                if kind == ast::OperationType::Subscription {
                    start_subscription_counters(coordinate);
                }
                coordinates.insert((root.name.clone(), name.clone()), coordinate);
            }
        }
        let list_sizes = ListSizes::of(&schema);
        Self { schema, limits: limits.clone(), introspection, list_sizes, coordinates }
    }

    /// The schema.
    #[must_use]
    pub const fn schema(&self) -> &Valid<Schema> {
        &self.schema
    }

    /// Parses a document.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`] if it has too many tokens or is nested too deeply, else
    /// [`Code::GraphqlParseFailed`].
    pub fn parse(&self, text: &str) -> Result<ast::Document, Rejection> {
        let mut parser = Parser::new()
            .token_limit(self.limits.max_tokens)
            .recursion_limit(self.limits.max_nesting);
        parser.parse_ast(text, "document").map_err(|failure| {
            for (what, reached, limit) in [
                ("tokens", parser.tokens_reached(), self.limits.max_tokens),
                ("levels of nesting", parser.recursion_reached(), self.limits.max_nesting),
            ] {
                if let Err(error) = super::limits::within(what, reached, limit) {
                    return error.into();
                }
            }
            rejection(Code::GraphqlParseFailed, &failure.errors)
        })
    }

    /// Validates a document and checks its limits.
    ///
    /// # Errors
    /// [`Code::GraphqlValidationFailed`], or [`Code::LimitExceeded`].
    pub fn compile(&self, text: String, parsed: &ast::Document) -> Result<Document, Rejection> {
        let invalid = |errors: &_| rejection(Code::GraphqlValidationFailed, errors);
        // In two steps: of an unknown field nothing is left that the rules could go by.
        let document = parsed.to_executable(&self.schema).map_err(|it| invalid(&it.errors))?;
        let document = document.validate(&self.schema).map_err(|it| invalid(&it.errors))?;
        rules::check(&self.schema, &document)?;
        self.check_introspection(&document)?;
        self.limits.check_document(&document, &self.list_sizes)?;
        let document = Arc::new(document);
        let operations = document.operations.iter().map(|it| self.operation(&document, it));
        let operations = operations.collect::<Result<_, _>>()?;
        let hash = Hash::of(&text);
        let hex = hash.to_string().into();
        Ok(Document { hash, hex, redacted: OnceLock::new(), operations, text })
    }

    fn operation(
        &self,
        document: &Arc<Valid<ExecutableDocument>>,
        operation: &Node<executable::Operation>,
    ) -> Result<Arc<Operation>, Rejection> {
        let merger = || Merger::new(&self.schema, document, self.limits.max_selections);
        // With everything included: a conflict is one whatever `@skip` and `@include` say.
        let whole = merger().operation(operation)?;
        let selections = match conditions(document, operation) {
            None => MergedSelections::Unconditional(Arc::new(whole)),
            Some(variables) if variables.is_empty() => {
                let merger = merger().with_conditions(&[], &[]);
                MergedSelections::Unconditional(Arc::new(merger.operation(operation)?))
            }
            Some(variables) => MergedSelections::Conditional(Box::new(Conditional {
                document: document.clone(),
                operation: operation.clone(),
                variables,
                merged: Mutex::default(),
            })),
        };
        let definition = |it: &Node<ast::VariableDefinition>| {
            VariableDefinition::new(&self.schema, it, &document.sources)
        };
        Ok(Arc::new(Operation {
            name: operation.name.as_ref().map(|name| name.as_str().into()),
            kind: match operation.operation_type {
                ast::OperationType::Query => OperationType::Query,
                ast::OperationType::Mutation => OperationType::Mutation,
                ast::OperationType::Subscription => OperationType::Subscription,
            },
            root_field: self.root_field(document, operation),
            label: None,
            variables: operation.variables.iter().map(definition).collect(),
            selections,
        }))
    }

    /// The coordinate of an operation's root field.
    fn root_field(
        &self,
        document: &ExecutableDocument,
        operation: &executable::Operation,
    ) -> &'static str {
        let names: BTreeSet<_> = operation.root_fields(document).map(|field| &field.name).collect();
        let mut names = names.into_iter();
        match (names.next(), names.next()) {
            (Some(name), None) if name.starts_with("__") => "_INTROSPECTION",
            (Some(name), None) => {
                let key = (operation.object_type().clone(), name.clone());
                self.coordinates.get(&key).copied().unwrap_or(OTHER)
            }
            (Some(_), Some(_)) => MULTIPLE,
            (None, _) => OTHER,
        }
    }

    /// The library would respond with null, as if there were nothing to know.
    fn check_introspection(&self, document: &ExecutableDocument) -> Result<(), Error> {
        let asks = |operation: &Node<executable::Operation>| {
            let mut fields = operation.root_fields(document);
            fields.any(|field| matches!(field.name.as_str(), "__schema" | "__type"))
        };
        if !self.introspection && document.operations.iter().any(asks) {
            let message = "Introspection is disabled.".into();
            return Err(Error::Client(Code::GraphqlValidationFailed, message));
        }
        Ok(())
    }
}

/// The variables that `@skip` and `@include` have in an operation. `None` if it has neither.
fn conditions(
    document: &ExecutableDocument,
    operation: &executable::Operation,
) -> Option<Vec<Name>> {
    fn of_selections<'a>(
        document: &'a ExecutableDocument,
        set: &'a SelectionSet,
        visited: &mut HashSet<&'a Name>,
        found: &mut Vec<&'a Value>,
    ) {
        for selection in &set.selections {
            found.extend(selection.directives().iter().filter_map(|it| condition_of(it)));
            match selection {
                Selection::Field(field) => {
                    of_selections(document, &field.selection_set, visited, found);
                }
                Selection::InlineFragment(fragment) => {
                    of_selections(document, &fragment.selection_set, visited, found);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = document.fragments.get(&spread.fragment_name)
                        && visited.insert(&spread.fragment_name)
                    {
                        of_selections(document, &fragment.selection_set, visited, found);
                    }
                }
            }
        }
    }
    let (mut visited, mut found) = (HashSet::new(), Vec::new());
    of_selections(document, &operation.selection_set, &mut visited, &mut found);
    let variables: BTreeSet<_> = found.iter().filter_map(|value| value.as_variable()).collect();
    (!found.is_empty()).then(|| variables.into_iter().cloned().collect())
}

/// The library's diagnostics as errors of a response.
fn rejection(code: Code, diagnostics: &DiagnosticList) -> Rejection {
    let errors = diagnostics.iter().map(|diagnostic| {
        let error = diagnostic.to_json();
        let at = error.locations.iter().map(|at| Pos { line: at.line, column: at.column });
        located_error(code, error.message, at.collect())
    });
    Rejection(errors.collect())
}
