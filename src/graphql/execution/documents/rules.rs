//! Rules of the specification that `apollo-compiler` 1.33 does not check, or not at every depth of
//! a value: input fields given twice (5.6.3), `@oneOf` (5.6.1), the type of a variable where it is
//! used (5.8.5), and custom scalars (5.6.1). A test compares the verdicts of both together with
//! those of graphql-js.

use std::collections::HashSet;

use apollo_compiler::{
    ExecutableDocument, Name, Node, Schema,
    ast::{self, Argument, DirectiveList, InputValueDefinition, Type, Value},
    executable::{Operation, Selection, SelectionSet},
    schema::{ExtendedType, InputObjectType},
};
use async_graphql::Pos;

use crate::{
    error::Code,
    graphql::execution::{
        documents::{
            literal::literal,
            variables::{check_custom_scalar, exactly_one_field, is_one_of, position},
        },
        errors::{Rejection, located_error},
    },
};

/// Checks a document that `apollo-compiler` finds valid.
///
/// # Errors
/// [`Code::GraphqlValidationFailed`].
pub fn check(schema: &Schema, document: &ExecutableDocument) -> Result<(), Rejection> {
    let mut errors = Vec::new();
    for operation in document.operations.iter() {
        let mut checker = Checker { schema, document, operation, errors, visited: HashSet::new() };
        checker.operation();
        errors = checker.errors;
    }
    let error = |(message, at)| located_error(Code::GraphqlValidationFailed, message, vec![at]);
    if errors.is_empty() { Ok(()) } else { Err(Rejection(errors.into_iter().map(error).collect())) }
}

/// What is wrong, and where.
type Problem = (String, Pos);

/// Checks the values of an operation.
struct Checker<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    operation: &'a Operation,
    errors: Vec<Problem>,
    /// Fragments that this operation has led to.
    visited: HashSet<&'a Name>,
}

impl<'a> Checker<'a> {
    fn operation(&mut self) {
        for variable in &self.operation.variables {
            if let Some(default) = &variable.default_value {
                self.value(&variable.ty, false, default);
            }
        }
        self.directives(&self.operation.directives);
        self.selections(&self.operation.selection_set);
    }

    fn selections(&mut self, set: &'a SelectionSet) {
        for selection in &set.selections {
            self.directives(selection.directives());
            match selection {
                Selection::Field(field) => {
                    self.arguments(&field.definition.arguments, &field.arguments);
                    self.selections(&field.selection_set);
                }
                Selection::InlineFragment(fragment) => self.selections(&fragment.selection_set),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.fragment_name)
                        && self.visited.insert(&spread.fragment_name)
                    {
                        self.directives(&fragment.directives);
                        self.selections(&fragment.selection_set);
                    }
                }
            }
        }
    }

    fn directives(&mut self, directives: &'a DirectiveList) {
        for directive in directives {
            if let Some(definition) = self.schema.directive_definitions.get(&directive.name) {
                self.arguments(&definition.arguments, &directive.arguments);
            }
        }
    }

    fn arguments(
        &mut self,
        definitions: &[Node<InputValueDefinition>],
        arguments: &'a [Node<Argument>],
    ) {
        for argument in arguments {
            if let Some(definition) = definitions.iter().find(|it| it.name == argument.name) {
                self.value(&definition.ty, definition.default_value.is_some(), &argument.value);
            }
        }
    }

    /// Checks a value where one of type `ty` is expected, and where there may be a default.
    fn value(&mut self, ty: &Type, has_default: bool, value: &'a Node<Value>) {
        match &**value {
            Value::Variable(name) => self.variable(ty, has_default, name, value),
            Value::List(items) if ty.is_list() => {
                for item in items {
                    self.value(ty.item_type(), false, item);
                }
            }
            literal => match self.schema.types.get(ty.inner_named_type()) {
                Some(ExtendedType::InputObject(definition)) => {
                    if let Value::Object(fields) = literal {
                        self.object(definition, fields, value);
                    }
                }
                Some(ExtendedType::Scalar(scalar)) if !scalar.is_built_in() => {
                    self.custom_scalar(ty, value);
                }
                _ => {}
            },
        }
    }

    fn object(
        &mut self,
        definition: &InputObjectType,
        fields: &'a [(Name, Node<Value>)],
        value: &Node<Value>,
    ) {
        let mut seen = HashSet::new();
        for (name, value) in fields {
            if !seen.insert(name) {
                self.error(format!("There can be only one input field named \"{name}\"."), value);
            }
            if let Some(field) = definition.fields.get(name) {
                self.value(&field.ty, field.default_value.is_some(), value);
            }
        }
        if !is_one_of(definition) {
            return;
        }
        match fields {
            [(_, only)] if !only.is_null() => {
                let nullable = only.as_variable().and_then(|name| self.definition(name));
                if let Some(variable) = nullable.filter(|it| !it.ty.is_non_null()) {
                    let (name, ty) = (&variable.name, &definition.name);
                    let message = format!(
                        "Variable \"${name}\" must be non-nullable to be used for OneOf input \
                         object \"{ty}\"."
                    );
                    self.error(message, only);
                }
            }
            _ => self.error(exactly_one_field(&definition.name), value),
        }
    }

    /// `IsVariableUsageAllowed`.
    fn variable(&mut self, ty: &Type, has_default: bool, name: &Name, at: &Node<Value>) {
        let Some(definition) = self.definition(name) else { return };
        let has_own_default = definition.default_value.as_ref().is_some_and(|it| !it.is_null());
        let expected =
            if ty.is_non_null() && !definition.ty.is_non_null() && (has_own_default || has_default)
            {
                ty.clone().nullable()
            } else {
                ty.clone()
            };
        if !definition.ty.is_assignable_to(&expected) {
            let message = format!(
                "Variable \"${name}\" of type \"{}\" used in position expecting type \"{ty}\".",
                definition.ty
            );
            self.error(message, at);
        }
    }

    fn definition(&self, name: &Name) -> Option<&'a Node<ast::VariableDefinition>> {
        self.operation.variables.iter().find(|it| it.name == *name)
    }

    /// A literal with variables inside is left to execution.
    fn custom_scalar(&mut self, ty: &Type, value: &Node<Value>) {
        if let Some(constant) = literal(self.schema, ty, value).into_const()
            && !value.is_null()
            && let Err(message) = check_custom_scalar(ty.inner_named_type(), &constant)
        {
            self.error(message, value);
        }
    }

    fn error(&mut self, message: String, at: &Node<Value>) {
        self.errors.push((message, position(at, &self.document.sources)));
    }
}
