//! Roles that may do less than the owner of the tables.

use std::time::Duration;

use serde_json::json;
use testing::{Db, stderr, stdout};

use super::{CREATE, READ, as_owner, event, failure, readiness};

const DML: &str = "GRANT USAGE ON SCHEMA public TO ROLE; \
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ROLE; \
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ROLE";
const SELECT: &str = "GRANT USAGE ON SCHEMA public TO ROLE; \
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO ROLE";

/// The same database as a new role sees it, which gets these privileges.
async fn with_role(db: &Db, grants: &str) -> Db {
    let name = db.url.split(['/', '?']).nth(3).unwrap();
    let role = format!("role_of_{name}");
    let create = "CREATE USER ROLE; REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    as_owner(db, &format!("{create}; {grants}").replace(" ROLE", &format!(" {role}"))).await;
    Db { url: db.url.replace("//postgres@", &format!("//{role}@")), dir: db.dir.clone() }
}

/// A database that its owner has migrated and filled.
async fn migrated() -> Db {
    let db = Db::postgres().await;
    let file = db.file("first.csv", "title,author\nFaust,Goethe\n");
    assert!(db.run(&["migrate", "up"]).status.success());
    assert!(db.run(&["import", file.to_str().unwrap()]).status.success());
    db
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_a_role_that_may_not_create_tables() {
    let app = with_role(&migrated().await, DML).await;
    let service = app.spawn(&["--sample"]);
    assert!(service.ready().await < Duration::from_secs(2));
    let id = service.create(json!({ "title": "One" })).await;
    service.data("mutation($id: ID!) { deleteBook(id: $id) }", json!({ "id": id })).await;
    let answer = service.data(READ, json!({})).await;
    assert_eq!(answer["books"]["nodes"][0]["authors"][0]["name"], "Goethe");
    assert_eq!(readiness(&service).await, json!({ "status": "ready" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_and_reports_migrations_as_a_role_that_may_not_create_tables() {
    let owner = migrated().await;
    let all = stdout(&owner.run(&["migrate", "status"])).lines().count();
    let app = with_role(&owner, DML).await;
    let rows: Vec<String> = (0..1_500).map(|n| format!("Book {n},Author {n}\n")).collect();
    let file = app.file("more.csv", format!("title,author\n{}", rows.concat()));
    let output = app.run(&["import", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("1500 added"), "{}", stdout(&output));
    for command in ["status", "up"] {
        let output = app.run(&["migrate", command]);
        assert_eq!(output.status.code(), Some(0), "{command}: {}", stderr(&output));
        assert_eq!(stdout(&output).matches("applied").count(), all, "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_reads_to_a_role_that_may_only_select() {
    let reader = with_role(&migrated().await, SELECT).await;
    assert_serves_reads_only(&reader, "42501", "insufficient_privilege").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_reads_in_read_only_sessions() {
    let db = migrated().await;
    let reader = with_role(&db, DML).await;
    let role = reader.url.split(['/', '@']).nth(2).unwrap();
    as_owner(&db, &format!("ALTER ROLE {role} SET default_transaction_read_only = on")).await;
    assert_serves_reads_only(&reader, "25006", "read_only_sql_transaction").await;
}

async fn assert_serves_reads_only(reader: &Db, status: &str, condition: &str) {
    let mut service = reader.spawn(&["--sample"]);
    assert!(service.ready().await < Duration::from_secs(2));
    assert_eq!(service.data(READ, json!({})).await["books"]["totalCount"], 1);
    let found = service.data("{ search(query: \"faust\") { totalCount } }", json!({})).await;
    assert_eq!(found["search"]["totalCount"], 1);
    for mutation in [
        CREATE,
        "mutation { createAuthor(input: { name: \"One\" }) { id } }",
        "mutation { createBook(input: { title: \"One\", authors: [{ name: \"A\" }] }) { id } }",
        "mutation { updateBook(id: \"book_1\", input: { pages: 7 }) { id } }",
        "mutation { deleteBook(id: \"book_1\") }",
    ] {
        let (code, message) = failure(&service, mutation).await;
        assert_eq!(code, "FORBIDDEN", "{mutation}: {message}");
        assert!(
            message.starts_with("The database does not permit writing"),
            "{mutation}: {message}"
        );
    }
    let line = event(&mut service, "database.permission_denied");
    assert!(line.contains(status) && line.contains(condition), "{line}");
    event(&mut service, "database.read_only");
    assert_eq!(readiness(&service).await, json!({ "status": "ready", "database": "read-only" }));
    let output = reader.run(&["migrate", "status"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let file = reader.file("more.csv", "title,author\nFaust,Goethe\nEmma,Jane Austen\n");
    let output = reader.run(&["import", file.to_str().unwrap()]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(status) && text.contains(condition), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_migrations_are_not_permitted() {
    let db = Db::postgres().await;
    let app = with_role(&db, "GRANT USAGE ON SCHEMA public TO ROLE").await;
    let mut service = app.spawn(&[]);
    assert_not_ready(&mut service, "42501", "insufficient_privilege").await;
    let output = app.run(&["migrate", "up"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("42501"), "{}", stderr(&output));

    assert!(db.run(&["migrate", "up"]).status.success());
    let role = app.url.split(['/', '@']).nth(2).unwrap();
    as_owner(&db, &DML.replace("ROLE", role)).await;
    assert!(service.ready().await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_the_database_to_be_migrated_is_read_only() {
    let db = Db::postgres().await;
    let name = db.url.split(['/', '?']).nth(3).unwrap();
    as_owner(&db, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let mut service = db.spawn(&[]);
    assert_not_ready(&mut service, "25006", "read_only_sql_transaction").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_tables_that_may_not_be_read() {
    let grants =
        "GRANT USAGE ON SCHEMA public TO ROLE; GRANT SELECT ON seaql_migrations, book TO ROLE";
    let app = with_role(&migrated().await, grants).await;
    assert_not_ready(&mut app.spawn(&[]), "42501", "insufficient_privilege").await;
    let grants = "GRANT USAGE ON SCHEMA public TO ROLE; \
        GRANT SELECT ON book, author, book_author TO ROLE";
    let app = with_role(&migrated().await, grants).await;
    assert_not_ready(&mut app.spawn(&[]), "42501", "insufficient_privilege").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_a_database_that_may_not_be_connected_to() {
    let db = migrated().await;
    let app = with_role(&db, DML).await;
    let name = db.url.split(['/', '?']).nth(3).unwrap();
    as_owner(&db, &format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")).await;
    let mut service = app.spawn(&[]);
    let line = event(&mut service, "database.unreachable");
    assert!(line.contains("42501") && line.contains("insufficient_privilege"), "{line}");
    let ready = readiness(&service).await;
    assert_eq!(ready["reason"], "permission denied by the database", "{ready}");
}

#[tokio::test(flavor = "multi_thread")]
async fn permits_what_the_role_may_write() {
    let grants = format!(
        "{DML}; REVOKE INSERT, SELECT ON author FROM ROLE; \
        GRANT SELECT ON author TO ROLE"
    );
    let app = with_role(&migrated().await, &grants).await;
    let mut service = app.serve().await;
    service.data(CREATE, json!({})).await;
    let create = "mutation { createAuthor(input: { name: \"One\" }) { id } }";
    let (code, message) = failure(&service, create).await;
    assert_eq!(code, "FORBIDDEN", "{message}");
    assert!(message.starts_with("The database does not permit writing"), "{message}");
    assert!(event(&mut service, "database.permission_denied").contains("42501"));
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_a_schema_that_may_not_be_used() {
    let db = migrated().await;
    as_owner(&db, "REVOKE USAGE ON SCHEMA public FROM PUBLIC").await;
    let app = with_role(&db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO ROLE").await;
    assert_not_ready(&mut app.spawn(&[]), "3F000", "invalid_schema_name").await;
}

/// A standby may be promoted, a privilege granted.
#[tokio::test(flavor = "multi_thread")]
async fn writes_as_soon_as_that_is_permitted() {
    let db = migrated().await;
    let reader = with_role(&db, SELECT).await;
    let service = reader.serve().await;
    assert_eq!(readiness(&service).await["database"], "read-only");
    let role = reader.url.split(['/', '@']).nth(2).unwrap();
    as_owner(&db, &DML.replace("ROLE", role)).await;
    service.data(CREATE, json!({})).await;
    assert_eq!(readiness(&service).await, json!({ "status": "ready" }));
}

/// Privileges may be taken back while the service runs.
#[tokio::test(flavor = "multi_thread")]
async fn reports_reads_that_are_not_permitted() {
    let db = migrated().await;
    let app = with_role(&db, DML).await;
    let mut service = app.serve().await;
    let role = app.url.split(['/', '@']).nth(2).unwrap();
    as_owner(&db, &format!("REVOKE SELECT ON book FROM {role}")).await;
    let (code, message) = failure(&service, READ).await;
    assert_eq!(code, "FORBIDDEN", "{message}");
    assert!(message.starts_with("The database does not permit reading"), "{message}");
    assert!(event(&mut service, "database.permission_denied").contains("42501"));
}

async fn assert_not_ready(service: &mut testing::Service, status: &str, condition: &str) {
    let line = event(service, "database.unprepared");
    assert!(line.contains(status) && line.contains(condition), "{line}");
    let ready = readiness(service).await;
    let expected = "permission denied by the database";
    assert_eq!(ready["reason"], expected, "{ready}");
    assert!(ready["cause"].as_str().unwrap().contains(status), "{ready}");
    let (code, message) = failure(service, READ).await;
    assert_eq!(code, "DATABASE_UNAVAILABLE");
    assert!(message.contains(expected), "{message}");
}
