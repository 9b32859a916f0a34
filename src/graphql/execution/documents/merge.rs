//! The merged selections of an operation: `CollectFields` and `MergeSelectionSets` of the
//! specification (sections 6.3.2 and 6.4.3), done before execution. Each response name occurs once
//! in each selection set, in the order of the document, and there are no fragments or directives.

use std::{cell::Cell, collections::HashSet};

use apollo_compiler::{
    ExecutableDocument, Node, Schema,
    ast::{Directive, DirectiveList, Type, Value as Literal},
    collections::IndexMap,
    executable::{self, Selection, SelectionSet},
    schema::ExtendedType,
    validation::Valid,
};
use async_graphql::{Name, Pos, Positioned};
use async_graphql_value::Value;

use crate::{
    error::Code,
    graphql::execution::{
        documents::{limits::within, literal::literal, variables::position},
        errors::{Rejection, located_error},
    },
};

/// An operation whose fields are merged.
#[derive(Debug)]
pub struct MergedOperation {
    /// Its root fields.
    pub fields: Vec<Field>,
}

/// The fields selected of a value.
#[derive(Debug)]
pub enum Selections {
    /// Of a scalar or an enum: none.
    Leaf,
    /// Of an object.
    Object(Vec<Field>),
    /// Of an interface or a union: those of each object type that it may be.
    Abstract(Vec<(Name, Vec<Field>)>),
}

/// A field, whatever the number of times that the document selects it.
#[derive(Debug)]
pub struct Field {
    /// Its name in the response.
    pub key: Name,
    /// Its type.
    pub ty: Type,
    /// What is selected of its value.
    pub selections: Selections,
    /// By which arguments it is paged.
    pub paging: Paging,
    /// Its name in the schema.
    pub name: Name,
    /// Its arguments, which may have variables.
    pub arguments: Vec<(Name, Positioned<Value>)>,
    /// Where it is selected first.
    pub at: Pos,
}

/// The arguments that say how many items a field has.
#[derive(Clone, Copy, Debug)]
pub enum Paging {
    /// None.
    None,
    /// `first` and `last`.
    Slice,
    /// `ids`.
    Ids,
}

impl Paging {
    /// The arguments by which a field with this definition is paged.
    fn of(definition: &apollo_compiler::ast::FieldDefinition) -> Self {
        let has = |name: &str| definition.argument_by_name(name).is_some();
        if has("first") || has("last") {
            Self::Slice
        } else if has("ids") && definition.ty.is_list() {
            Self::Ids
        } else {
            Self::None
        }
    }
}

/// Merges the selections of an operation.
pub struct Merger<'a> {
    schema: &'a Schema,
    document: &'a Valid<ExecutableDocument>,
    /// Variables and their values; without them all that is conditional is included.
    conditions: Option<(&'a [apollo_compiler::Name], &'a [bool])>,
    /// Fields that may still be made. The document's limits bound what its fragments expand to, but
    /// not the number of types that an interface has.
    fields_left: Cell<usize>,
    max_fields: usize,
}

impl<'a> Merger<'a> {
    /// A merger for `document`, which includes all that is conditional.
    pub const fn new(
        schema: &'a Schema,
        document: &'a Valid<ExecutableDocument>,
        max_fields: usize,
    ) -> Self {
        let fields_left = Cell::new(max_fields);
        Self { schema, document, conditions: None, fields_left, max_fields }
    }

    /// This merger, with `@skip` and `@include` decided by the values of these variables.
    pub const fn with_conditions(
        self,
        variables: &'a [apollo_compiler::Name],
        values: &'a [bool],
    ) -> Self {
        Self { conditions: Some((variables, values)), ..self }
    }

    /// Merges the selections of an operation of the document.
    ///
    /// # Errors
    /// [`Code::GraphqlValidationFailed`] if fields conflict, [`Code::LimitExceeded`] if there are
    /// too many.
    pub fn operation(
        &self,
        operation: &executable::Operation,
    ) -> Result<MergedOperation, Rejection> {
        let fields = self.fields(operation.object_type(), &[&operation.selection_set])?;
        Ok(MergedOperation { fields })
    }

    /// The fields that these sets select of an object of type `ty`.
    fn fields(&self, ty: &str, sets: &[&'a SelectionSet]) -> Result<Vec<Field>, Rejection> {
        let (mut groups, mut visited) = (IndexMap::default(), HashSet::new());
        for set in sets {
            self.collect(ty, set, &mut visited, &mut groups);
        }
        groups.into_values().map(|group| self.field(ty, &group)).collect()
    }

    fn collect(
        &self,
        ty: &str,
        set: &'a SelectionSet,
        visited: &mut HashSet<&'a str>,
        groups: &mut IndexMap<&'a str, Vec<&'a Node<executable::Field>>>,
    ) {
        for selection in &set.selections {
            if !self.includes(selection.directives()) {
                continue;
            }
            match selection {
                Selection::Field(field) => {
                    groups.entry(field.response_key()).or_default().push(field);
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.type_condition.as_deref();
                    if condition.is_none_or(|condition| self.applies(condition, ty)) {
                        self.collect(ty, &fragment.selection_set, visited, groups);
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = self.document.fragments.get(&spread.fragment_name);
                    let Some(fragment) = fragment.filter(|it| visited.insert(&it.name)) else {
                        continue;
                    };
                    if self.applies(fragment.type_condition(), ty) {
                        self.collect(ty, &fragment.selection_set, visited, groups);
                    }
                }
            }
        }
    }

    /// Whether an object of type `ty` meets a type condition.
    fn applies(&self, condition: &str, ty: &str) -> bool {
        condition == ty || self.schema.is_subtype(condition, ty)
    }

    fn includes(&self, directives: &DirectiveList) -> bool {
        let Some((variables, values)) = self.conditions else { return true };
        directives.iter().all(|directive| {
            let Some(condition) = condition_of(directive) else { return true };
            let holds = match condition {
                Literal::Variable(name) => {
                    let index = variables.iter().position(|known| known == name);
                    index.is_some_and(|index| values[index])
                }
                condition => condition.to_bool().unwrap_or(false),
            };
            holds == (directive.name == "include")
        })
    }

    /// The field that is selected under one response name.
    fn field(&self, ty: &str, group: &[&'a Node<executable::Field>]) -> Result<Field, Rejection> {
        let first = group[0];
        let left = self.fields_left.get();
        within("fields once merged", self.max_fields + 1 - left, self.max_fields)?;
        self.fields_left.set(left - 1);
        let arguments = self.arguments(first);
        for other in &group[1..] {
            // `apollo-compiler` 1.33 compares lists only as far as the shorter one goes.
            if !is_same(&arguments, &self.arguments(other)) {
                let key = other.response_key();
                let message =
                    format!("Fields \"{key}\" conflict because they have different arguments.");
                let at = vec![self.position(first), self.position(other)];
                let error = located_error(Code::GraphqlValidationFailed, message, at);
                return Err(Rejection(vec![error]));
            }
        }
        // That of the object: an interface's may be wider.
        let definition = self.schema.type_field(ty, &first.name);
        let definition = definition.map_or(&first.definition, |it| &it.node);
        let sets: Vec<_> = group.iter().map(|field| &field.selection_set).collect();
        Ok(Field {
            key: Name::new(first.response_key()),
            ty: definition.ty.clone(),
            selections: self.selections(definition.ty.inner_named_type(), &sets)?,
            paging: Paging::of(definition),
            name: Name::new(&first.name),
            arguments,
            at: self.position(first),
        })
    }

    fn selections(&self, ty: &str, sets: &[&'a SelectionSet]) -> Result<Selections, Rejection> {
        Ok(match self.schema.types.get(ty) {
            Some(ExtendedType::Object(_)) => Selections::Object(self.fields(ty, sets)?),
            Some(ExtendedType::Interface(_) | ExtendedType::Union(_)) => {
                let mut types = Vec::new();
                for (name, possible) in &self.schema.types {
                    if possible.is_object() && self.schema.is_subtype(ty, name) {
                        types.push((Name::new(name), self.fields(name, sets)?));
                    }
                }
                Selections::Abstract(types)
            }
            _ => Selections::Leaf,
        })
    }

    fn arguments(&self, field: &executable::Field) -> Vec<(Name, Positioned<Value>)> {
        let argument = |argument: &Node<apollo_compiler::ast::Argument>| {
            let definition = field.definition.argument_by_name(&argument.name)?;
            let value = literal(self.schema, &definition.ty, &argument.value);
            let value = Positioned::new(value, self.position(argument));
            Some((Name::new(&argument.name), value))
        };
        field.arguments.iter().filter_map(argument).collect()
    }

    fn position<T>(&self, node: &Node<T>) -> Pos {
        position(node, &self.document.sources)
    }
}

type Arguments = [(Name, Positioned<Value>)];

/// Whether arguments are the same, in whatever order.
fn is_same(one: &Arguments, other: &Arguments) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .all(|(name, value)| other.iter().any(|(it, its)| it == name && its.node == value.node))
}

/// The value of `if`, where a directive is `@skip` or `@include`.
pub fn condition_of(directive: &Directive) -> Option<&Literal> {
    let is_condition = matches!(directive.name.as_str(), "skip" | "include");
    is_condition.then(|| directive.specified_argument_by_name("if").map(|it| &**it))?
}
