//! What becomes of the database: migrations, several replicas, the sample.

use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::json;
use testing::{Db, Service, on_both_databases, stderr, stdout};

on_both_databases! {
    async fn migrations_go_up_and_down_to_empty(db: Db) {
        let status = |output: &std::process::Output| stdout(output).lines()
            .map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(status(&db.run(&["migrate", "status"])), ["pending"; 3]);
        assert_eq!(status(&db.run(&["migrate", "up"])), ["applied"; 3]);
        assert_eq!(status(&db.run(&["migrate", "up"])), ["applied"; 3]);
        assert_eq!(status(&db.run(&["migrate", "down", "--steps", "1"])), ["applied", "applied", "pending"]);
        assert_eq!(status(&db.run(&["migrate", "down"])), ["pending"; 3]);
        assert_eq!(tables(&db).await, ["seaql_migrations"]);
        let service = db.serve().await;
        service.create(json!({ "title": "One" })).await;
        drop(service);
        assert_eq!(status(&db.run(&["migrate", "down"])), ["pending"; 3]);
        assert_eq!(tables(&db).await, ["seaql_migrations"]);
    }

    /// As after a newer version: it says so, and changes nothing.
    async fn refuses_a_database_with_unknown_migrations(db: Db) {
        db.run(&["migrate", "up"]);
        let unknown = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m2099_later', 1)";
        Database::connect(&db.url).await.unwrap().execute_unprepared(unknown).await.unwrap();
        for command in ["up", "down", "status"] {
            let output = db.command(&["migrate", command]).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            let said = stderr(&output);
            assert!(said.contains("another version of this program") && said.contains("m2099_later"), "{said}");
        }
    }

    async fn replicas_start_together(db: Db) {
        let starts = (0..6).map(|_| db.command(&["migrate", "up"]).spawn().unwrap());
        for mut start in starts.collect::<Vec<_>>() {
            assert!(start.wait().unwrap().success());
        }
        let replicas: Vec<Service> = (0..6).map(|_| db.spawn(&[])).collect();
        for replica in &replicas {
            replica.ready().await;
            replica.create(json!({ "title": "One" })).await;
        }
        let data = replicas[0].data("{ books { totalCount } }", json!({})).await;
        assert_eq!(data["books"]["totalCount"], 6);
    }

    async fn fills_only_an_empty_catalog_with_the_sample(db: Db) {
        let count = async |service: &Service| {
            let data = service.data("{ books { totalCount } }", json!({})).await;
            data["books"]["totalCount"].as_u64().unwrap()
        };
        let mut service = db.serve_with(&["--sample"]).await;
        service.wait_for_log("the sample", |event| event["message"].as_str().is_some_and(|m| m.contains("sample")));
        let books = count(&service).await;
        assert!((95..120).contains(&books), "{books}");
        assert!(!service.log().iter().any(|event| event["level"] == "WARN"), "{:#?}", service.log());
        let found = service.data("{ search(query: \"Homer\") { nodes { title authors { name } } } }", json!({})).await;
        assert_eq!(found["search"]["nodes"][0]["authors"][0]["name"], "Homer");
        service.data("mutation { deleteBook(id: \"book_1\") }", json!({})).await;
        drop(service);
        assert_eq!(count(&db.serve_with(&["--sample"]).await).await, books - 1);
    }
}

/// The tables that are left.
async fn tables(db: &Db) -> Vec<String> {
    let connection = Database::connect(&db.url).await.unwrap();
    let sql = if db.is_sqlite() {
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    } else {
        "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public'"
    };
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get("", "name").unwrap()).collect()
}
