//! Limits of responses and of introspection.

use serde_json::json;
use testing::Db;

use super::{code, post, send};

/// What GraphiQL asks when it is opened.
const GRAPHIQL: &str = "query IntrospectionQuery { __schema { description
    queryType { name kind } mutationType { name kind } subscriptionType { name kind }
    types { ...FullType } directives { name description isRepeatable locations
    args(includeDeprecated: true) { ...InputValue } } } }
  fragment FullType on __Type { kind name description specifiedByURL isOneOf
    fields(includeDeprecated: true) { name description args(includeDeprecated: true) { ...InputValue }
      type { ...TypeRef } isDeprecated deprecationReason }
    inputFields(includeDeprecated: true) { ...InputValue } interfaces { ...TypeRef }
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
    possibleTypes { ...TypeRef } }
  fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue
    isDeprecated deprecationReason }
  fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name
    ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
    ofType { kind name } } } } } } } } } }";

#[tokio::test]
async fn introspection_works_as_far_as_tools_need_it() {
    let service = Db::sqlite().serve_with(&["--lab"]).await;
    let data = service.data(GRAPHIQL, json!({})).await;
    assert!(data["__schema"]["types"].as_array().unwrap().len() > 20);
    let twice = "{ __schema { types { fields { type { fields { type { name } } } } } } }";
    service.data(twice, json!({})).await;
    let thrice =
        "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    assert_eq!(service.code(thrice, json!({})).await, "LIMIT_EXCEEDED");
}

#[tokio::test]
async fn rejects_a_response_that_is_too_large() {
    let service = Db::sqlite().serve_with(&["--sample", "--max-answer", "2000"]).await;
    service.data("{ books(first: 3) { nodes { title } } }", json!({})).await;
    let body = json!({ "query": "{ books(first: 100) { nodes { id title authors { name } } } }" });
    let (status, answer) = send(post(&service, body.to_string())).await;
    assert_eq!((status.as_u16(), code(&answer)), (422, "LIMIT_EXCEEDED"), "{answer}");
    assert!(answer.get("data").is_none(), "{answer}");
}

#[tokio::test]
async fn lists_the_first_of_many_errors() {
    let service = Db::sqlite().serve().await;
    let fields = (0..60).fold(String::new(), |all, i| format!("{all} x{i}"));
    let answer = service.execute(&format!("{{ books {{ {fields} }} }}"), json!({})).await;
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 51);
    assert_eq!(errors[50]["extensions"]["code"], "LIMIT_EXCEEDED");
    assert!(errors[50]["message"].as_str().unwrap().contains("60 errors"), "{}", errors[50]);
}
