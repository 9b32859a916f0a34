//! A merged operation as the document that async-graphql executes: its arguments are constants, and
//! it has neither variables nor fragments but those that distinguish the types of an interface.

use std::sync::Arc;

use async_graphql::{
    Name, Pos, Positioned, Request, Value as ConstValue,
    parser::types::{
        DocumentOperations, ExecutableDocument, Field as LoweredField, InlineFragment,
        OperationDefinition, OperationType, Selection, SelectionSet, TypeCondition,
    },
};
use async_graphql_value::Value;

use crate::graphql::execution::documents::{
    merge::{Field, MergedOperation, Selections},
    variables::VariableValues,
};

/// The response name of the `__typename` that is added where async-graphql needs one: below an
/// interface, so that the object's type is known when the response is completed, and in a selection
/// set of which `@skip` left nothing, whose object the library would take for null. No client can
/// choose it.
pub const TYPE_MARKER: &str = "";

/// An operation that is ready to be executed.
#[derive(Debug)]
pub struct PreparedOperation {
    /// Query or mutation.
    pub kind: OperationType,
    /// Its fields.
    pub merged: Arc<MergedOperation>,
    /// The values of its variables.
    pub variables: VariableValues,
}

impl Field {
    /// The value of an argument; none where it is not given, or by a variable without a value.
    #[must_use]
    pub fn argument(&self, name: &str, variables: &VariableValues) -> Option<ConstValue> {
        let (_, value) = self.arguments.iter().find(|(known, _)| known == name)?;
        substitute(&value.node, variables)?.into_const()
    }

    fn bind(&self, variables: &VariableValues) -> Selection {
        let argument = |(name, value): &(Name, Positioned<Value>)| {
            let bound = substitute(&value.node, variables)?;
            Some((Positioned::new(name.clone(), value.pos), Positioned::new(bound, value.pos)))
        };
        let set = match &self.selections {
            Selections::Leaf => SelectionSet::default(),
            Selections::Object(fields) => of_object(fields, self.at, variables),
            Selections::Abstract(types) => of_abstract(types, self.at, variables),
        };
        let alias = (self.key != self.name).then(|| Positioned::new(self.key.clone(), self.at));
        let field = LoweredField {
            alias,
            name: Positioned::new(self.name.clone(), self.at),
            arguments: self.arguments.iter().filter_map(argument).collect(),
            directives: Vec::new(),
            selection_set: Positioned::new(set, self.at),
        };
        Selection::Field(Positioned::new(field, self.at))
    }
}

/// A literal with the values of its variables. A variable without a value leaves out the argument
/// or input field that it stands for (section 6.4.1), and is null in a list.
fn substitute(value: &Value, variables: &VariableValues) -> Option<Value> {
    Some(match value {
        Value::Variable(name) => return variables.get(name).map(|it| it.clone().into_value()),
        Value::List(items) => {
            let item = |item| substitute(item, variables).unwrap_or(Value::Null);
            Value::List(items.iter().map(item).collect())
        }
        Value::Object(fields) => {
            let field =
                |(name, value): (&Name, _)| Some((name.clone(), substitute(value, variables)?));
            Value::Object(fields.iter().filter_map(field).collect())
        }
        value => value.clone(),
    })
}

fn of_object(fields: &[Field], at: Pos, variables: &VariableValues) -> SelectionSet {
    let mut items: Vec<_> =
        fields.iter().map(|it| Positioned::new(it.bind(variables), it.at)).collect();
    if items.is_empty() {
        items.push(type_marker(at));
    }
    SelectionSet { items }
}

fn of_abstract(types: &[(Name, Vec<Field>)], at: Pos, variables: &VariableValues) -> SelectionSet {
    let mut items = vec![type_marker(at)];
    items.extend(types.iter().filter(|(_, fields)| !fields.is_empty()).map(|(name, fields)| {
        let condition = TypeCondition { on: Positioned::new(name.clone(), at) };
        let fragment = InlineFragment {
            type_condition: Some(Positioned::new(condition, at)),
            directives: Vec::new(),
            selection_set: Positioned::new(of_object(fields, at, variables), at),
        };
        let fragment = Positioned::new(fragment, at);
        Positioned::new(Selection::InlineFragment(fragment), at)
    }));
    SelectionSet { items }
}

fn type_marker(at: Pos) -> Positioned<Selection> {
    let field = LoweredField {
        alias: Some(Positioned::new(Name::new(TYPE_MARKER), at)),
        name: Positioned::new(Name::new("__typename"), at),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::default(),
    };
    Positioned::new(Selection::Field(Positioned::new(field, at)), at)
}

impl PreparedOperation {
    /// The request that async-graphql executes. It has no variables: their values are in the
    /// arguments.
    #[must_use]
    pub fn request(&self) -> Request {
        let at = Pos::default();
        let operation = OperationDefinition {
            ty: self.kind,
            variable_definitions: Vec::new(),
            directives: Vec::new(),
            selection_set: Positioned::new(of_object(&self.merged.fields, at, &self.variables), at),
        };
        let mut request = Request::new("");
        request.set_parsed_query(ExecutableDocument {
            operations: DocumentOperations::Single(Positioned::new(operation, at)),
            fragments: std::collections::HashMap::new(),
        });
        request
    }
}
