//! A field that a document selects twice is executed once, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "clients are tasks of the test")]
#![expect(clippy::float_cmp, reason = "whole numbers")]

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};
use testing::{
    Db, PATIENCE, Service, on_both_databases,
    socket::{Client, metric},
};

/// Ways to select a field of the root `Mutation` twice: once with `first` below it, once with `second`.
fn twice(field: &str, first: &str, second: &str) -> Vec<String> {
    let (one, other) = (format!("{field} {first}"), format!("{field} {second}"));
    vec![
        format!("mutation {{ {one} {other} }}"),
        format!("mutation {{ {one} ...F }} fragment F on Mutation {{ {other} }}"),
        format!("mutation {{ ...F {other} }} fragment F on Mutation {{ {one} }}"),
        format!("mutation {{ {one} ... on Mutation {{ {other} }} }}"),
        format!("mutation {{ {one} ... {{ {other} }} }}"),
        format!(
            "mutation {{ ...F ...G }} fragment F on Mutation {{ {one} ...G }} \
             fragment G on Mutation {{ ... {{ {other} }} }}"
        ),
        format!("mutation {{ {one} {field} @include(if: true) {second} }}"),
        format!("mutation ($yes: Boolean = true) {{ {one} {field} @include(if: $yes) {second} }}"),
        format!("mutation ($no: Boolean = false) {{ {one} ... @skip(if: $no) {{ {other} }} }}"),
    ]
}

/// Executes a mutation by HTTP or by WebSocket, and checks that it took `statements`.
struct Caller<'a> {
    service: &'a Service,
    socket: Client,
    operations: f64,
    statements: f64,
}

impl<'a> Caller<'a> {
    async fn new(service: &'a Service) -> Self {
        let socket = Client::hello(service).await;
        Self { service, socket, operations: 0.0, statements: 0.0 }
    }

    async fn execute(&mut self, by_socket: bool, document: &str) -> Value {
        if by_socket {
            self.socket.subscribe("1", document).await;
            self.socket.answer("1").await
        } else {
            self.service.execute(document, json!({})).await
        }
    }

    /// The statements that the last operation on this root field took.
    async fn statements(&mut self, root_field: &str) -> f64 {
        let name = |part| format!("graphql_server_request_db_statements_{part}");
        let label = format!("graphql_root_field=\"{root_field}\"");
        let labels = [&*label];
        let started = Instant::now();
        while metric(self.service, &name("count"), &labels).await <= self.operations {
            assert!(started.elapsed() < PATIENCE, "{root_field} was not counted");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.operations = metric(self.service, &name("count"), &labels).await;
        let sum = metric(self.service, &name("sum"), &labels).await;
        let statements = sum - self.statements;
        self.statements = sum;
        statements
    }
}

on_both_databases! {
    async fn executes_a_repeated_mutation_once(db: Db) {
        let service = db.serve().await;
        let books = async || service.data("{ books { totalCount } }", json!({})).await["books"]["totalCount"].take();

        let mut caller = Caller::new(&service).await;
        let create = "createBook(input: { title: \"Once only\" })";
        service.data(&format!("mutation {{ {create} {{ id title version }} }}"), json!({})).await;
        let once = caller.statements("Mutation.createBook").await;
        let mut expected = 1;
        for by_socket in [false, true] {
            for document in twice(create, "{ id }", "{ title version }") {
                let answer = caller.execute(by_socket, &document).await;
                expected += 1;
                let id = format!("book_{expected}");
                let book = json!({ "id": id, "title": "Once only", "version": 1 });
                assert_eq!(answer, json!({ "data": { "createBook": book } }), "{document}");
                assert_eq!(books().await, expected, "{document}");
                assert_eq!(caller.statements("Mutation.createBook").await, once, "{document}");
            }
        }

        let mut caller = Caller::new(&service).await;
        let update = "updateBook(id: \"book_1\", input: { pages: 7 })";
        service.data(&format!("mutation {{ {update} {{ id version }} }}"), json!({})).await;
        let once = caller.statements("Mutation.updateBook").await;
        let mut version = 2;
        for by_socket in [false, true] {
            for document in twice(update, "{ id }", "{ version pages }") {
                let answer = caller.execute(by_socket, &document).await;
                version += 1;
                let book = json!({ "id": "book_1", "version": version, "pages": 7 });
                assert_eq!(answer, json!({ "data": { "updateBook": book } }), "{document}");
                assert_eq!(caller.statements("Mutation.updateBook").await, once, "{document}");
            }
        }

        let mut caller = Caller::new(&service).await;
        let mut once = None;
        for by_socket in [false, true] {
            for number in 0..9 {
                let name = format!("Pair {by_socket} {number}");
                let create = format!("createAuthor(input: {{ name: \"{name}\" }})");
                let document = twice(&create, "{ name }", "{ __typename }").swap_remove(number);
                let answer = caller.execute(by_socket, &document).await;
                let author = json!({ "name": name, "__typename": "Author" });
                assert_eq!(answer, json!({ "data": { "createAuthor": author } }), "{document}");
                let statements = caller.statements("Mutation.createAuthor").await;
                assert_eq!(*once.get_or_insert(statements), statements, "{document}");
            }
        }

        for by_socket in [false, true] {
            for number in 0..9 {
                let id = format!("book_{expected}");
                let delete = format!("deleteBook(id: \"{id}\")");
                let document = twice(&delete, "", "").swap_remove(number);
                let answer = caller.execute(by_socket, &document).await;
                assert_eq!(answer, json!({ "data": { "deleteBook": id } }), "{document}");
                expected -= 1;
                assert_eq!(books().await, expected, "{document}");
            }
        }
    }

    async fn does_not_execute_skipped_fields(db: Db) {
        let service = db.serve().await;
        let document = "mutation ($do: Boolean!) {
            createBook(input: { title: \"x\" }) @include(if: $do) { id } __typename }";
        for (included, expected) in [(false, 0), (true, 1), (false, 1)] {
            let data = service.data(document, json!({ "do": included })).await;
            assert_eq!(data.get("createBook").is_some(), included);
            let books = service.data("{ books { totalCount } }", json!({})).await;
            assert_eq!(books["books"]["totalCount"], expected);
        }
    }

    /// Both parts of the response come from one reading of the list.
    async fn reads_a_repeated_list_once(db: Db) {
        let service = db.serve_with(&["--pool-wait", "20s"]).await;
        service.create(json!({ "title": "First" })).await;
        let mut caller = Caller::new(&service).await;
        service.data("{ books { nodes { id title } } }", json!({})).await;
        let once = caller.statements("Query.books").await;
        service.data("{ books { nodes { id } } books { nodes { title } } }", json!({})).await;
        assert_eq!(caller.statements("Query.books").await, once);

        let until = Instant::now() + Duration::from_secs(if testing::full() { 20 } else { 3 });
        let writers = (0..3).map(|writer| {
            let (client, url) = (service.client.clone(), format!("{}/graphql", service.url));
            tokio::spawn(async move {
                let mut number = 0;
                while Instant::now() < until {
                    let title = format!("{writer}/{number}");
                    let document = format!("mutation {{ createBook(input: {{ title: \"{title}\" }}) {{ id }} }}");
                    client.post(&url).json(&json!({ "query": document })).send().await.unwrap();
                    number += 1;
                }
                number
            })
        });
        let writers: Vec<_> = writers.collect();
        let torn = "{ books(last: 1) { nodes { id } } ...F }
            fragment F on Query { books(last: 1) { nodes { title } } }";
        let mut seen = Vec::new();
        while Instant::now() < until {
            let data = service.data(torn, json!({})).await;
            let book = data["books"]["nodes"][0].clone();
            assert!(book.is_object(), "{data} after {}", seen.len());
            seen.push(book);
        }
        for writer in writers {
            assert!(writer.await.unwrap() > 10, "there were no writers");
        }
        assert!(seen.len() > 10);
        for book in seen {
            let whole = service.data("query($id: ID!) { book(id: $id) { id title } }", json!({ "id": book["id"] })).await;
            assert_eq!(whole["book"], book);
        }
    }

    /// A constraint that nobody knew of is a fault, and not a conflict of ISBNs.
    async fn maps_only_the_intended_constraint_to_a_conflict(db: Db) {
        let service = db.serve().await;
        let create = async |title: &str| {
            let document = "mutation($t: String!) { createBook(input: { title: $t, isbn: \"0439023483\" }) { id } }";
            service.execute(document, json!({ "t": title })).await
        };
        assert!(create("One").await.get("errors").is_none());
        let taken = create("Two").await["errors"][0].clone();
        assert_eq!(taken["extensions"]["code"], "CONFLICT", "{taken}");
        let database = Database::connect(&db.url).await.unwrap();
        database.execute_unprepared("CREATE UNIQUE INDEX one_title ON book (title_key)").await.unwrap();
        let document = "mutation { createBook(input: { title: \"One\" }) { id } }";
        let error = service.error(document, json!({})).await;
        assert_eq!(error["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{error}");
    }
}
