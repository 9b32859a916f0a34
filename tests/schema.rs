//! The rules that every entity of the schema keeps. Each failure says what to do; docs/adding-an-entity.md says
//! why.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testing::{Db, Service, program, repository, socket::metric, stdout};

/// Lists that are neither paged nor part of a connection, because they are short.
const SHORT_LISTS: [&str; 2] = ["Book.authors", "Query.nodes"];

const INTROSPECTION: &str = "{ __schema { types { name description kind interfaces { name }
    fields { name description type { ...type } args { name description type { ...type } } }
    inputFields { name description } enumValues { name description } } } }
    fragment type on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// The types of the schema, without those of GraphQL itself.
async fn types(service: &Service) -> BTreeMap<String, Value> {
    let data = service.data(INTROSPECTION, json!({})).await;
    let types = data["__schema"]["types"].as_array().unwrap().iter();
    types
        .map(|ty| (text(ty, "name").to_owned(), ty.clone()))
        .filter(|(name, _)| !name.starts_with("__") && name != "ID")
        .collect()
}

fn text<'a>(item: &'a Value, key: &str) -> &'a str {
    item[key].as_str().unwrap_or_default()
}

fn items<'a>(item: &'a Value, key: &str) -> &'a [Value] {
    item[key].as_array().map_or(&[], Vec::as_slice)
}

/// The type of a field without what is around its name.
fn named(ty: &Value) -> &Value {
    if ty["ofType"].is_null() { ty } else { named(&ty["ofType"]) }
}

fn is_list(ty: &Value) -> bool {
    ty["kind"] == "LIST" || (!ty["ofType"].is_null() && is_list(&ty["ofType"]))
}

fn requires_no_argument(field: &Value) -> bool {
    items(field, "args").iter().all(|argument| argument["type"]["kind"] != "NON_NULL")
}

#[test]
fn the_committed_schema_is_the_one_served() {
    let output = program(&["schema"]).output().unwrap();
    let committed = std::fs::read_to_string(repository().join("schema.graphql")).unwrap();
    assert!(stdout(&output) == committed, "schema.graphql is stale: run `make schema`");
}

#[tokio::test]
async fn everything_is_described() {
    let service = Db::sqlite().serve().await;
    let mut missing = Vec::new();
    let mut check = |path: String, item: &Value| {
        if text(item, "description").is_empty() {
            missing.push(path.clone());
        }
        path
    };
    for (name, ty) in types(&service).await {
        check(name.clone(), &ty);
        for item in ["fields", "inputFields", "enumValues"].iter().flat_map(|key| items(&ty, key)) {
            let path = check(format!("{name}.{}", text(item, "name")), item);
            for argument in items(item, "args") {
                check(format!("{path}({})", text(argument, "name")), argument);
            }
        }
    }
    assert!(
        missing.is_empty(),
        "not described: give them a doc comment, or an argument #[graphql(desc = …)], and a connection a \
         description in `build` of src/graphql.rs: {missing:#?}"
    );
}

#[tokio::test]
async fn objects_with_an_id_are_nodes() {
    let service = Db::sqlite().serve().await;
    for (name, ty) in types(&service).await {
        // Of its own, which is never null: a change names the book that it is of.
        let is_id = |field: &Value| field["name"] == "id" && field["type"]["kind"] == "NON_NULL";
        let has_id = items(&ty, "fields").iter().any(is_id);
        let is_node = items(&ty, "interfaces").iter().any(|interface| interface["name"] == "Node");
        assert!(
            ty["kind"] != "OBJECT" || has_id == is_node,
            "{name} has an id and is no Node: implement NodeType for it, and add it to nodes! in \
             src/graphql.rs"
        );
    }
}

#[tokio::test]
async fn lists_are_paged() {
    let service = Db::sqlite().serve().await;
    for (name, ty) in types(&service).await {
        for field in items(&ty, "fields") {
            let path = format!("{name}.{}", text(field, "name"));
            let has = |name| items(field, "args").iter().any(|argument| argument["name"] == name);
            if text(named(&field["type"]), "name").ends_with("Connection") {
                assert!(
                    has("first") && has("after"),
                    "{path} has not the arguments first and after: read them by PageArgs::from_relay"
                );
            } else if is_list(&field["type"]) && !name.ends_with("Connection") {
                assert!(
                    SHORT_LISTS.contains(&&*path),
                    "{path} is a list that is not paged, which counts as one item in the complexity of an \
                     operation: return a connection, or add it to SHORT_LISTS if it is always short"
                );
            }
        }
    }
}

/// Reads one object and several of each list at the root, with each of their fields that is no scalar.
#[tokio::test]
async fn a_field_of_an_object_is_loaded_in_batches() {
    let service = Db::sqlite().serve_in(&[("COLOPHON_SAMPLE", "true")]).await;
    let types = types(&service).await;
    let connection = |field: &Value| {
        let name = text(named(&field["type"]), "name");
        name.ends_with("Connection").then(|| name.to_owned())
    };
    let mut checked = Vec::new();
    for root in items(&types["Query"], "fields").iter().filter(|field| requires_no_argument(field))
    {
        let Some(page) = connection(root) else { continue };
        let nodes = items(&types[&page], "fields").iter().find(|field| field["name"] == "nodes");
        let object = text(named(&nodes.unwrap()["type"]), "name");
        for field in items(&types[object], "fields") {
            let selection = match text(named(&field["type"]), "kind") {
                "SCALAR" | "ENUM" => continue,
                _ if connection(field).is_some() => "totalCount nodes { id }",
                _ => "__typename",
            };
            let (root, name) = (text(root, "name"), text(field, "name"));
            let document = format!(
                "query($n: Int) {{ {root}(first: $n) {{ nodes {{ {name} {{ {selection} }} }} }} }}"
            );
            let one = statements(&service, &document, 1).await;
            let several = statements(&service, &document, 5).await;
            assert!(one > 0.0, "{document} executes no statement");
            #[expect(clippy::float_cmp, reason = "whole numbers")]
            let is_batched = several == one;
            assert!(
                is_batched,
                "{object}.{name} executes statements for each object ({one} for one, {several} for five): \
                 load it by a Loader"
            );
            checked.push(format!("{object}.{name}"));
        }
    }
    assert!(checked.contains(&"Book.authors".into()) && checked.contains(&"Author.books".into()));
}

/// How many statements an operation executes.
async fn statements(service: &Service, document: &str, first: u32) -> f64 {
    const STATEMENTS: &str = "db_client_operation_duration_seconds_count";
    let before = metric(service, STATEMENTS, &["SELECT"]).await;
    service.data(document, json!({ "n": first })).await;
    metric(service, STATEMENTS, &["SELECT"]).await - before
}
