//! The values of variables, coerced as section 6.1.2 of the specification says
//! (`CoerceVariableValues`).
//!
//! Not by `apollo_compiler::request::coerce_variable_values`: that takes JSON of another crate,
//! which the request's would be copied into, and stops at the first error. This coerces the values of
//! async-graphql, and checks custom scalars too.

use apollo_compiler::{
    Node, Schema,
    ast::{self, Type},
    parser::SourceMap,
    schema::{ExtendedType, InputObjectType},
};
use async_graphql::{Name, Pos, ScalarType, Value as ConstValue, Variables, indexmap::IndexMap};
use chrono::{DateTime, Utc};

use crate::{
    error::Code,
    graphql::execution::{
        documents::literal::literal,
        errors::{Rejection, located_error},
    },
};

/// A variable that an operation declares.
pub struct VariableDefinition {
    name: Name,
    ty: Node<Type>,
    default: Option<ConstValue>,
    at: Pos,
}

impl VariableDefinition {
    /// The definition of a valid document.
    pub fn new(
        schema: &Schema,
        definition: &Node<ast::VariableDefinition>,
        sources: &SourceMap,
    ) -> Self {
        let default = definition.default_value.as_ref();
        Self {
            name: Name::new(&definition.name),
            ty: definition.ty.clone(),
            default: default.and_then(|it| literal(schema, &definition.ty, it).into_const()),
            at: position(definition, sources),
        }
    }
}

/// Where a node stands in its document.
pub fn position<T>(node: &Node<T>, sources: &SourceMap) -> Pos {
    let range = node.line_column_range(sources);
    range.map_or_else(Pos::default, |range| Pos {
        line: range.start.line,
        column: range.start.column,
    })
}

/// Coerced values of variables. A variable that was not given and has no default has none.
#[derive(Debug, Default)]
pub struct VariableValues(Vec<(Name, ConstValue)>);

impl VariableValues {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&ConstValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The values as JSON, by which it is known whether others are the same.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Values have no keys but strings, which is what fails.
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// The values of these variables, each the condition of `@skip` or `@include`.
    ///
    /// # Errors
    /// If one is null: its type may be nullable where it has a default (section 5.8.5).
    pub fn booleans(&self, names: &[apollo_compiler::Name]) -> Result<Vec<bool>, Rejection> {
        let value = |name: &apollo_compiler::Name| match self.get(name) {
            Some(ConstValue::Boolean(value)) => Ok(*value),
            _ => {
                Err(invalid(format!("Variable \"${name}\" of a directive must not be null."), None))
            }
        };
        names.iter().map(value).collect()
    }
}

/// Coerces the values that a request gives for the variables of an operation. Others are ignored.
///
/// # Errors
/// [`Code::GraphqlValidationFailed`] for each variable whose value does not fit its type.
pub fn coerce(
    schema: &Schema,
    definitions: &[VariableDefinition],
    mut given: Variables,
) -> Result<VariableValues, Rejection> {
    let (mut values, mut errors) = (Vec::with_capacity(definitions.len()), Vec::new());
    for VariableDefinition { name, ty, default, at } in definitions {
        let value = match (given.remove(name), default) {
            (Some(value), _) => Coercion { schema, path: name.to_string() }.value(ty, value),
            (None, Some(default)) => Ok(default.clone()),
            (None, None) if ty.is_non_null() => {
                let message =
                    format!("Variable \"${name}\" of required type \"{ty}\" was not provided.");
                errors.extend(invalid(message, Some(*at)).0);
                continue;
            }
            (None, None) => continue,
        };
        match value {
            Ok(value) => values.push((name.clone(), value)),
            Err(Mismatch { path, message }) => {
                let message =
                    format!("Variable \"${name}\" got an invalid value at \"{path}\": {message}");
                errors.extend(invalid(message, Some(*at)).0);
            }
        }
    }
    if errors.is_empty() { Ok(VariableValues(values)) } else { Err(Rejection(errors)) }
}

fn invalid(message: String, at: Option<Pos>) -> Rejection {
    let at = at.into_iter().collect();
    Rejection(vec![located_error(Code::GraphqlValidationFailed, message, at)])
}

/// A value that does not fit its type.
struct Mismatch {
    path: String,
    message: String,
}

/// The coercion of the value at a path of a variable.
struct Coercion<'a> {
    schema: &'a Schema,
    path: String,
}

impl Coercion<'_> {
    fn mismatch<T>(&self, message: String) -> Result<T, Mismatch> {
        Err(Mismatch { path: self.path.clone(), message })
    }

    /// Coerces a part of the value, at `step` of the path.
    fn below(&mut self, step: &str, ty: &Type, value: ConstValue) -> Result<ConstValue, Mismatch> {
        let length = self.path.len();
        self.path.push('.');
        self.path.push_str(step);
        let value = self.value(ty, value);
        self.path.truncate(length);
        value
    }

    fn value(&mut self, ty: &Type, value: ConstValue) -> Result<ConstValue, Mismatch> {
        match (ty, value) {
            (ty, ConstValue::Null) if ty.is_non_null() => {
                self.mismatch(format!("Expected type \"{ty}\", found null."))
            }
            (_, ConstValue::Null) => Ok(ConstValue::Null),
            (Type::List(item) | Type::NonNullList(item), ConstValue::List(items)) => {
                let mut values = Vec::with_capacity(items.len());
                for (index, value) in items.into_iter().enumerate() {
                    values.push(self.below(&index.to_string(), item, value)?);
                }
                Ok(ConstValue::List(values))
            }
            // A single value is a list of one (section 3.11).
            (Type::List(item) | Type::NonNullList(item), value) => {
                Ok(ConstValue::List(vec![self.value(item, value)?]))
            }
            (Type::Named(name) | Type::NonNullNamed(name), value) => self.named(name, value),
        }
    }

    fn named(&mut self, name: &str, value: ConstValue) -> Result<ConstValue, Mismatch> {
        match self.schema.types.get(name) {
            Some(ExtendedType::InputObject(definition)) => self.object(definition, value),
            Some(ExtendedType::Enum(definition)) => match value {
                ConstValue::String(text) if definition.values.contains_key(text.as_str()) => {
                    Ok(ConstValue::Enum(Name::new(text)))
                }
                ConstValue::Enum(text) if definition.values.contains_key(text.as_str()) => {
                    Ok(ConstValue::Enum(text))
                }
                ConstValue::String(_) | ConstValue::Enum(_) => {
                    self.mismatch(format!("There is no such value in enum \"{name}\"."))
                }
                other => self.unexpected(name, &other),
            },
            _ => self.scalar(name, value),
        }
    }

    /// Coerces to a scalar: those of section 3.5, and the schema's own.
    fn scalar(&self, name: &str, value: ConstValue) -> Result<ConstValue, Mismatch> {
        let is_int = |number: &f64| number.fract() == 0.0 && number.abs() < f64::from(u32::MAX);
        match (name, value) {
            ("Int", ConstValue::Number(number)) => {
                // 1.0 is an integer in JSON (section 3.5.1).
                #[expect(clippy::cast_possible_truncation, reason = "checked")]
                let integral = || number.as_f64().filter(is_int).map(|number| number as i64);
                match number.as_i64().or_else(integral).map(i32::try_from) {
                    Some(Ok(number)) => Ok(number.into()),
                    _ => self.mismatch("Expected a signed integer of 32 bits.".to_owned()),
                }
            }
            ("Float", value @ ConstValue::Number(_))
            | ("String" | "ID", value @ ConstValue::String(_))
            | ("Boolean", value @ ConstValue::Boolean(_)) => Ok(value),
            ("ID", ConstValue::Number(number)) if !number.is_f64() => Ok(number.to_string().into()),
            ("Int" | "Float" | "String" | "ID" | "Boolean", value) => self.unexpected(name, &value),
            (_, value) => match check_custom_scalar(name, &value) {
                Ok(()) => Ok(value),
                Err(message) => self.mismatch(message),
            },
        }
    }

    fn object(&mut self, ty: &InputObjectType, value: ConstValue) -> Result<ConstValue, Mismatch> {
        let ConstValue::Object(mut given) = value else { return self.unexpected(&ty.name, &value) };
        if let Some(unknown) = given.keys().find(|key| !ty.fields.contains_key(key.as_str())) {
            let message = format!("Field \"{unknown}\" is not defined by type \"{}\".", ty.name);
            return self.mismatch(message);
        }
        if is_one_of(ty)
            && (given.len() != 1 || given.values().any(|value| *value == ConstValue::Null))
        {
            return self.mismatch(exactly_one_field(&ty.name));
        }
        let mut fields = IndexMap::new();
        for (name, definition) in &ty.fields {
            let value = match (given.swap_remove(name.as_str()), &definition.default_value) {
                (Some(value), _) => self.below(name, &definition.ty, value)?,
                (None, Some(default)) => {
                    literal(self.schema, &definition.ty, default).into_const().unwrap_or_default()
                }
                (None, None) if definition.ty.is_non_null() => {
                    let ty = &definition.ty;
                    let message =
                        format!("Field \"{name}\" of required type \"{ty}\" was not provided.");
                    return self.mismatch(message);
                }
                (None, None) => continue,
            };
            fields.insert(Name::new(name), value);
        }
        Ok(ConstValue::Object(fields))
    }

    fn unexpected<T>(&self, expected: &str, found: &ConstValue) -> Result<T, Mismatch> {
        let found = match found {
            ConstValue::Null => "null",
            ConstValue::Boolean(_) => "a boolean",
            ConstValue::Number(_) => "a number",
            ConstValue::String(_) => "a string",
            ConstValue::List(_) => "a list",
            ConstValue::Object(_) => "an object",
            ConstValue::Enum(_) => "an enum value",
            ConstValue::Binary(_) => "bytes",
        };
        self.mismatch(format!("Expected type \"{expected}\", found {found}."))
    }
}

/// Whether exactly one field of an input object must be given (section 3.10.1).
pub fn is_one_of(ty: &InputObjectType) -> bool {
    ty.directives.has("oneOf")
}

/// The message for an input object that breaks that rule.
pub fn exactly_one_field(name: &str) -> String {
    format!("Exactly one field of OneOf input object \"{name}\" must be given, and not null.")
}

/// Checks a value of one of the schema's own scalars, so that a wrong one rejects the request
/// (section 5.6.1) and does not fail its field. A test holds that every one is known here.
///
/// # Errors
/// What is expected.
pub fn check_custom_scalar(name: &str, value: &ConstValue) -> Result<(), String> {
    let fits = match name {
        "DateTime" => <DateTime<Utc> as ScalarType>::parse(value.clone()).is_ok(),
        _ => true,
    };
    if fits { Ok(()) } else { Err(format!("Expected a valid \"{name}\".")) }
}
