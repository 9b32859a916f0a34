//! Literals of a document as values of async-graphql.

use apollo_compiler::{
    Schema,
    ast::{self, Type},
};
use async_graphql::Name;
use async_graphql_value::Value;

/// A valid literal where a value of type `ty` is expected. Variables stay.
pub fn literal(schema: &Schema, ty: &Type, value: &ast::Value) -> Value {
    let of_id = ty.inner_named_type() == "ID";
    match value {
        ast::Value::Null => Value::Null,
        ast::Value::Enum(name) => Value::Enum(Name::new(name)),
        ast::Value::Variable(name) => Value::Variable(Name::new(name)),
        ast::Value::String(text) => Value::String(text.clone()),
        ast::Value::Boolean(value) => Value::Boolean(*value),
        ast::Value::Int(number) if of_id => Value::String(number.as_str().to_owned()),
        ast::Value::Int(number) => parse_number(number.as_str()),
        ast::Value::Float(number) => parse_number(number.as_str()),
        ast::Value::List(items) => {
            let ty = if ty.is_list() { ty.item_type() } else { ty };
            Value::List(items.iter().map(|item| literal(schema, ty, item)).collect())
        }
        ast::Value::Object(fields) => {
            let definition = schema.get_input_object(ty.inner_named_type());
            let field = |(name, value): &(_, apollo_compiler::Node<ast::Value>)| {
                let field = definition.and_then(|it| it.fields.get(name));
                let ty = field.map_or(ty, |field| &field.ty);
                (Name::new(name as &apollo_compiler::Name), literal(schema, ty, value))
            };
            Value::Object(fields.iter().map(field).collect())
        }
    }
}

fn parse_number(text: &str) -> Value {
    // Of a custom scalar a number may be beyond all; its own coercion rejects null.
    text.parse::<serde_json::Number>().map_or(Value::Null, Value::Number)
}
