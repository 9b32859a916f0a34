//! That no root field was forgotten.

use serde_json::{Value, json};
use testing::Db;

use super::tokens::{ask, code, token};

/// Each root, and what a token with the other scope may do there: nothing.
const ROOTS: [(&str, &str, &str); 2] =
    [("query", "queryType", "books:write"), ("mutation", "mutationType", "books:read")];

/// Asks for every field that the running service says its roots have, by tokens that allow it too
/// little.
#[tokio::test(flavor = "multi_thread")]
async fn every_root_field_takes_its_scope() {
    let db = Db::sqlite();
    let tokens = ROOTS.map(|(_, _, scope)| token(&[scope]));
    let lines = format!("{}\n{}\n", tokens[0].1, tokens[1].1);
    let file = db.file("tokens", lines);
    let file = file.to_str().unwrap();
    let variables = [("COLOPHON_TOKENS_FILE", file), ("COLOPHON_LAB", "true")];
    let service = db.serve_in(&variables).await;
    let mut seen = Vec::new();
    for ((kind, root, _), (token, _)) in ROOTS.into_iter().zip(&tokens) {
        let schema = ask(&service, Some(token), INTROSPECTION).await.1;
        let types = &schema["data"]["__schema"];
        for field in types[root]["fields"].as_array().unwrap() {
            let document = format!("{kind} {{ {} }}", call(field, &types["types"]));
            let (_, answer) = ask(&service, Some(token), &document).await;
            assert_eq!(
                code(&answer),
                "FORBIDDEN",
                "{document} needs no scope: resolve it by resolve_query or resolve_mutation \
                 (docs/adding-an-entity.md): {answer}"
            );
            seen.push(field["name"].as_str().unwrap().to_owned());
        }
    }
    for field in ["node", "nodes", "books", "search", "labBlock", "labLeak", "deleteAuthor"] {
        assert!(seen.iter().any(|seen| seen == field), "{field} is not among {seen:?}");
    }
}

const INTROSPECTION: &str = "{ __schema { queryType { ...fields } mutationType { ...fields }
    types { name kind inputFields { name type { ...type } } enumValues { name } } } }
    fragment fields on __Type { fields { name type { ...type } args { name type { ...type } } } }
    fragment type on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// A call of the field with what it cannot do without.
fn call(field: &Value, types: &Value) -> String {
    let arguments = object(&field["args"], types);
    let arguments = if arguments.is_empty() { arguments } else { format!("({arguments})") };
    let is_leaf = matches!(named(&field["type"])["kind"].as_str(), Some("SCALAR" | "ENUM"));
    let selection = if is_leaf { "" } else { " { __typename }" };
    format!("{}{arguments}{selection}", field["name"].as_str().unwrap())
}

fn named(ty: &Value) -> &Value {
    if ty["ofType"].is_null() { ty } else { named(&ty["ofType"]) }
}

fn object(fields: &Value, types: &Value) -> String {
    let needed =
        fields.as_array().unwrap().iter().filter(|field| field["type"]["kind"] == "NON_NULL");
    let entry = |field: &Value| {
        let value = value(&field["type"]["ofType"], types);
        format!("{}: {value}", field["name"].as_str().unwrap())
    };
    needed.map(entry).collect::<Vec<_>>().join(", ")
}

fn value(ty: &Value, types: &Value) -> String {
    let find =
        || types.as_array().unwrap().iter().find(|known| known["name"] == ty["name"]).unwrap();
    match (ty["kind"].as_str().unwrap(), ty["name"].as_str()) {
        ("LIST", _) => "[]".to_owned(),
        ("INPUT_OBJECT", _) => format!("{{ {} }}", object(&find()["inputFields"], types)),
        ("ENUM", _) => find()["enumValues"][0]["name"].as_str().unwrap().to_owned(),
        (_, Some("Int" | "Float")) => "1".to_owned(),
        (_, Some("Boolean")) => "true".to_owned(),
        _ => json!("x").to_string(),
    }
}
