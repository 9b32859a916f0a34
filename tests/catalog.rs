//! The catalog through GraphQL, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "clients are tasks of the test")]

use clap::Parser;
use colophon::{
    catalog::{
        books::{filter::BookFilter, list, order::BookOrder},
        pagination::PageArgs,
    },
    config::Cli,
    database::Database,
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};
use testing::{Db, on_both_databases};

const CREATE: &str = "mutation($input: CreateBookInput!) { createBook(input: $input) {
    id title pages isbn13 publishedYear language version createdAt updatedAt authors { id name } } }";

fn titles(connection: &Value) -> Vec<&str> {
    connection["nodes"].as_array().unwrap().iter().map(|b| b["title"].as_str().unwrap()).collect()
}

on_both_databases! {
    async fn a_book_is_created_found_changed_and_deleted(db: Db) {
        let service = db.serve().await;
        let input = json!({ "title": " War  and Peace ", "pages": 1225, "isbn": "0-439-02348-3",
            "publishedYear": 1869, "language": "RUS",
            "authors": [{ "name": "Leo Tolstoy" }, { "name": "Louise Maude" }] });
        let book = service.data(CREATE, json!({ "input": input })).await["createBook"].take();
        assert_eq!(book["title"], "War and Peace");
        assert_eq!(book["isbn13"], "9780439023481");
        assert_eq!(book["language"], "ru");
        assert_eq!(book["version"], 1);
        assert_eq!(book["createdAt"], book["updatedAt"]);
        assert_eq!(book["authors"][1]["name"], "Louise Maude");

        let id = &book["id"];
        let found = service.data("query($id: ID!, $author: ID!) {
            book(id: $id) { title createdAt authors { name } }
            bookByIsbn(isbn: \"978-0-439-02348-1\") { id }
            node(id: $id) { id ... on Book { pages } }
            nodes(ids: [$author, $id, \"book_999\", $id]) { __typename id }
            author(id: $author) { name books { totalCount nodes { id } } }
        }", json!({ "id": id, "author": book["authors"][0]["id"] })).await;
        assert_eq!(found["book"]["createdAt"], book["createdAt"], "read back as answered");
        assert_eq!(found["bookByIsbn"]["id"], *id);
        assert_eq!(found["node"]["pages"], 1225);
        assert_eq!(found["nodes"][0]["__typename"], "Author");
        assert_eq!(found["nodes"][2], Value::Null);
        assert_eq!(found["nodes"][3]["id"], *id);
        assert_eq!(found["author"]["books"]["totalCount"], 1);

        let changed = service.data("mutation($id: ID!) {
            updateBook(id: $id, input: { pages: null, authors: [{ name: \"Лев Толстой\" }] }) {
                title pages isbn13 version authors { name } } }", json!({ "id": id })).await;
        assert_eq!(changed["updateBook"], json!({ "title": "War and Peace", "pages": null,
            "isbn13": "9780439023481", "version": 2, "authors": [{ "name": "Лев Толстой" }] }));

        let delete = "mutation($id: ID!) { deleteBook(id: $id) }";
        assert_eq!(service.data(delete, json!({ "id": id })).await["deleteBook"], *id);
        assert_eq!(service.code(delete, json!({ "id": id })).await, "NOT_FOUND");
        let gone = service.data("query($id: ID!) { book(id: $id) { id } search(query: \"war\") { totalCount } }",
            json!({ "id": id })).await;
        assert_eq!(gone, json!({ "book": null, "search": { "totalCount": 0 } }));
    }

    async fn every_violation_comes_back_with_its_path(db: Db) {
        let service = db.serve().await;
        let input = json!({ "title": "x".repeat(501), "pages": 0, "isbn": "9780439023482",
            "publishedYear": -3001, "language": "english",
            "authors": [{ "name": "A" }, { "name": " a " }] });
        let error = service.error(CREATE, json!({ "input": input })).await;
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT");
        let violations = error["extensions"]["violations"].as_array().unwrap();
        let paths: Vec<String> = violations.iter().map(|violation| {
            let parts = violation["path"].as_array().unwrap();
            parts.iter().map(|part| part.as_str().unwrap()).collect::<Vec<_>>().join(".")
        }).collect();
        assert_eq!(paths, ["input.title", "input.authors.1", "input.pages", "input.isbn",
            "input.publishedYear", "input.language"]);
        assert!(violations.iter().all(|v| v["message"].as_str().unwrap().len() > 10));

        let next_year = "mutation($year: Int!) { createBook(input: { title: \"t\", publishedYear: $year }) { id } }";
        assert_eq!(service.code(next_year, json!({ "year": 2500 })).await, "BAD_USER_INPUT");
        let unknown = json!({ "title": "t", "authors": [{ "name": "B" }, { "id": "author_77" }] });
        let error = service.error(CREATE, json!({ "input": unknown })).await;
        assert_eq!(error["extensions"]["violations"][0]["path"], json!(["input", "authors", "1", "id"]));
        let none = service.data("{ books { totalCount } authors { totalCount } }", json!({})).await;
        assert_eq!(none, json!({ "books": { "totalCount": 0 }, "authors": { "totalCount": 0 } }));
    }

    async fn stale_versions_and_taken_values_are_conflicts(db: Db) {
        let service = db.serve().await;
        let id = service.create(json!({ "title": "One", "isbn": "9780439023481",
            "authors": [{ "name": "Ann Lee" }] })).await;
        let update = "mutation($id: ID!, $v: Int) { updateBook(id: $id, input: { pages: 5 }, expectedVersion: $v) { version } }";
        assert_eq!(service.data(update, json!({ "id": id, "v": 1 })).await["updateBook"]["version"], 2);
        assert_eq!(service.code(update, json!({ "id": id, "v": 1 })).await, "CONFLICT");
        assert_eq!(service.code(update, json!({ "id": "book_99", "v": 1 })).await, "NOT_FOUND");
        let delete = "mutation($id: ID!) { deleteBook(id: $id, expectedVersion: 1) }";
        assert_eq!(service.code(delete, json!({ "id": id })).await, "CONFLICT");

        let same_isbn = json!({ "input": { "title": "Two", "isbn": "0439023483" } });
        assert_eq!(service.code(CREATE, same_isbn).await, "CONFLICT");
        let author = "mutation($name: String!) { createAuthor(input: { name: $name }) { id } }";
        assert_eq!(service.code(author, json!({ "name": " ANN  Leé" })).await, "CONFLICT");
        let other = service.data(author, json!({ "name": "Bo" })).await["createAuthor"]["id"].take();
        let rename = "mutation($id: ID!, $name: String!) { updateAuthor(id: $id, input: { name: $name }) { name } }";
        assert_eq!(service.code(rename, json!({ "id": other, "name": "ann lee" })).await, "CONFLICT");
        assert_eq!(service.code(rename, json!({ "id": other, "name": " " })).await, "BAD_USER_INPUT");
        assert_eq!(service.data(rename, json!({ "id": other, "name": "bo" })).await["updateAuthor"]["name"], "bo");
    }

    async fn an_author_is_deleted_only_without_books(db: Db) {
        let service = db.serve().await;
        let book = service.create(json!({ "title": "One", "authors": [{ "name": "Ann" }] })).await;
        let delete = "mutation { deleteAuthor(id: \"author_1\") }";
        let error = service.error(delete, json!({})).await;
        assert_eq!(error["extensions"]["code"], "CONFLICT");
        assert!(error["message"].as_str().unwrap().contains("1 book;"));
        service.data("mutation($id: ID!) { deleteBook(id: $id) }", json!({ "id": book })).await;
        service.data(delete, json!({})).await;
        assert_eq!(service.code(delete, json!({})).await, "NOT_FOUND");
    }

    async fn filters_combine(db: Db) {
        let service = db.serve().await;
        for (title, author, year, pages, language) in [
            ("100% Émile", "Jean Rousseau", 1762, 500, "fr"), ("Emile in English", "J. Rousseau", 1911, 480, "en-GB"),
            ("Confessions", "Rousseau", 1782, 600, "fr"), ("Candide", "Voltaire", 1759, 120, "fr-FR"),
        ] {
            service.create(json!({ "title": title, "publishedYear": year, "pages": pages,
                "language": language, "authors": [{ "name": author }] })).await;
        }
        service.create(json!({ "title": "Unknown" })).await;
        let list = async |filter: Value| {
            let document = "query($f: BookFilter) { books(filter: $f, orderBy: { field: TITLE }) { totalCount nodes { title } } }";
            let data = service.data(document, json!({ "f": filter })).await;
            assert_eq!(data["books"]["totalCount"], titles(&data["books"]).len());
            titles(&data["books"]).join("|")
        };
        assert_eq!(list(json!({ "titleContains": "EMILE" })).await, "100% Émile|Emile in English");
        assert_eq!(list(json!({ "titleContains": "0% é" })).await, "100% Émile");
        assert_eq!(list(json!({ "titleContains": "_" })).await, "");
        assert_eq!(list(json!({ "author": "rousseau", "language": "fr" })).await, "100% Émile|Confessions");
        assert_eq!(list(json!({ "language": "FRE" })).await, "100% Émile|Candide|Confessions");
        assert_eq!(list(json!({ "year": { "min": 1760, "max": 1782 } })).await, "100% Émile|Confessions");
        assert_eq!(list(json!({ "pages": { "max": 480 } })).await, "Candide|Emile in English");
        assert_eq!(list(json!({ "created": { "from": "2000-01-01T00:00:00Z" } })).await.matches('|').count(), 4);
        assert_eq!(list(json!({ "created": { "to": "2000-01-01T00:00:00+02:00" } })).await, "");
        assert_eq!(list(json!({ "titleContains": "a\u{0}b" })).await, "");
        for bad in ["language: \"français\"", "created: { from: \"+10000-01-01T00:00:00Z\" }",
            "created: { to: \"-0001-12-31T23:59:59Z\" }"] {
            let bad = format!("{{ books(filter: {{ {bad} }}) {{ totalCount }} }}");
            assert_eq!(service.code(&bad, json!({})).await, "BAD_USER_INPUT", "{bad}");
        }
        let data = service.data("{ authors(filter: { nameContains: \"ROUSS\" }) { totalCount nodes { name } } }", json!({})).await;
        assert_eq!(data["authors"], json!({ "totalCount": 3, "nodes": [
            { "name": "J. Rousseau" }, { "name": "Jean Rousseau" }, { "name": "Rousseau" }] }));
    }

    /// Every order, forwards and backwards, in pages of each size, gives each book once and in order.
    async fn pages_cover_every_order(db: Db) {
        let service = db.serve().await;
        for i in 0..23 {
            let title = ["b", "a", "Ä", "_", "Z"][i % 5];
            service.create(json!({ "title": format!("{title} {}", i % 3),
                "publishedYear": if i % 4 == 0 { Value::Null } else { json!(1900 - i % 6) },
                "pages": if i % 5 == 0 { Value::Null } else { json!(100 + i % 7) } })).await;
        }
        for field in ["TITLE", "YEAR", "PAGES", "CREATED_AT"] {
            for direction in ["ASC", "DESC"] {
                let order = json!({ "field": field, "direction": direction });
                let all = pages(&service, &order, 100, false).await;
                assert_eq!(all.len(), 23);
                for size in [1, 4, 23] {
                    assert_eq!(pages(&service, &order, size, false).await, all, "{order} by {size}");
                    assert_eq!(pages(&service, &order, size, true).await, all, "{order} back by {size}");
                }
                let key = match field { "YEAR" => "publishedYear", "PAGES" => "pages", _ => continue };
                let keys: Vec<Value> = all.iter().map(|book| book[key].clone()).collect();
                let known = keys.iter().take_while(|key| !key.is_null()).count();
                assert!(keys[known..].iter().all(Value::is_null), "unknown ones last: {keys:?}");
                assert!(keys[..known].is_sorted_by_key(|key| {
                    key.as_i64().unwrap() * if direction == "ASC" { 1 } else { -1 }
                }));
            }
        }
    }

    async fn cursors_stay_right_while_books_come_and_go(db: Db) {
        let service = db.serve().await;
        let mut ids = Vec::new();
        for title in ["a", "b", "c", "d", "e"] {
            ids.push(service.create(json!({ "title": title })).await);
        }
        let page = "query($a: String) { books(first: 2, after: $a, orderBy: { field: TITLE }) {
            nodes { title } pageInfo { endCursor hasNextPage hasPreviousPage } } }";
        let first = service.data(page, json!({})).await["books"].take();
        assert_eq!(titles(&first), ["a", "b"]);
        assert_eq!(first["pageInfo"]["hasPreviousPage"], false);
        // The row of the cursor goes, one comes before it and one after it.
        service.data("mutation($id: ID!) { deleteBook(id: $id) }", json!({ "id": ids[1] })).await;
        service.create(json!({ "title": "aa" })).await;
        service.create(json!({ "title": "bb" })).await;
        let after = first["pageInfo"]["endCursor"].clone();
        let second = service.data(page, json!({ "a": after })).await["books"].take();
        assert_eq!(titles(&second), ["bb", "c"]);
        assert_eq!(second["pageInfo"]["hasPreviousPage"], true);

        let other = "query($a: String) { books(first: 2, after: $a) { totalCount } }";
        // As some clients ask for the first page.
        let first_page = service.data(other, json!({ "a": "" })).await;
        assert_eq!(first_page["books"]["totalCount"], 6);
        let error = service.error(other, json!({ "a": after })).await;
        assert!(error["message"].as_str().unwrap().contains("another order"));
        for forged in ["x", "eyJ9", "AAAAAFsiaWQiLG51bGwsM10"] {
            assert_eq!(service.code(other, json!({ "a": forged })).await, "BAD_USER_INPUT");
        }
        for arguments in ["first: 101", "first: -1", "last: 101", "first: 1, last: 1"] {
            let document = format!("{{ books({arguments}) {{ totalCount }} }}");
            assert_eq!(service.code(&document, json!({})).await, "BAD_USER_INPUT", "{arguments}");
        }
    }

    async fn nested_lists_are_paged_for_each_author(db: Db) {
        let service = db.serve().await;
        for i in 0..12 {
            service.create(json!({ "title": format!("Book {:02}", 11 - i), "authors":
                [{ "name": format!("Author {}", i % 2) }, { "name": "Everyone" }] })).await;
        }
        let nested = "query($a: String) { authors { nodes { name books(first: 3, after: $a, orderBy: { field: TITLE }) {
            totalCount nodes { title authors { name } } pageInfo { hasNextPage endCursor } } } } }";
        let data = service.data(nested, json!({})).await;
        let authors = data["authors"]["nodes"].as_array().unwrap();
        assert_eq!(authors.len(), 3);
        assert_eq!(authors[0]["books"]["totalCount"], 6);
        assert_eq!(titles(&authors[0]["books"]), ["Book 01", "Book 03", "Book 05"]);
        assert_eq!(titles(&authors[2]["books"]), ["Book 00", "Book 01", "Book 02"]);
        assert_eq!(authors[1]["books"]["nodes"][0]["authors"], json!([{ "name": "Author 1" }, { "name": "Everyone" }]));
        let after = authors[0]["books"]["pageInfo"]["endCursor"].clone();
        let data = service.data(nested, json!({ "a": after })).await;
        assert_eq!(titles(&data["authors"]["nodes"][0]["books"]), ["Book 07", "Book 09", "Book 11"]);
        assert_eq!(data["authors"]["nodes"][0]["books"]["pageInfo"]["hasNextPage"], false);
    }

    async fn serializes_writers_without_lock_errors(db: Db) {
        // Their turn may come late on a busy machine, which is not the point here.
        let service = db.serve_with(&["--pool-wait", "20s", "--operation-timeout", "20s"]).await;
        let writers = (0..32).map(|writer| {
            let client = service.client.clone();
            let url = format!("{}/graphql", service.url);
            tokio::spawn(async move {
                for i in 0..8 {
                    // All name the same two authors, in opposite orders.
                    let mut authors = vec![json!({ "name": format!("X {i}") }), json!({ "name": format!("Y {i}") })];
                    if writer % 2 == 0 { authors.reverse(); }
                    let variables = json!({ "input": { "title": format!("{writer}-{i}"), "authors": authors } });
                    let body = json!({ "query": CREATE, "variables": variables });
                    let answer: Value = client.post(&url).json(&body).send().await.unwrap().json().await.unwrap();
                    assert!(answer.get("errors").is_none(), "{answer:#}");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let counts = service.data("{ books { totalCount } authors { totalCount } }", json!({})).await;
        assert_eq!(counts, json!({ "books": { "totalCount": 256 }, "authors": { "totalCount": 16 } }));
    }

    async fn distinguishes_unknown_from_invalid_ids(db: Db) {
        let service = db.serve().await;
        let book = "query($id: ID!) { book(id: $id) { id } }";
        assert_eq!(service.data(book, json!({ "id": "book_9223372036854775807" })).await, json!({ "book": null }));
        for id in ["1", "author_1", "book_0", "book_9223372036854775808", "Qm9vazox", "book_1'--"] {
            assert_eq!(service.code(book, json!({ "id": id })).await, "BAD_USER_INPUT", "{id}");
        }
        let nodes = format!("{{ nodes(ids: [{}]) {{ id }} }}", "\"book_1\",".repeat(101));
        assert_eq!(service.code(&nodes, json!({})).await, "BAD_USER_INPUT");
        assert_eq!(service.code("{ bookByIsbn(isbn: \"123\") { id } }", json!({})).await, "BAD_USER_INPUT");
    }
}

/// Reads a whole list page by page; backwards, from its end.
async fn pages(
    service: &testing::Service,
    order: &Value,
    size: usize,
    backward: bool,
) -> Vec<Value> {
    let (count, from) = if backward { ("last", "before") } else { ("first", "after") };
    let document = format!(
        "query($n: Int!, $c: String, $o: BookOrder) {{ books({count}: $n, {from}: $c, orderBy: $o) {{
            edges {{ cursor node {{ id title publishedYear pages }} }}
            pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"
    );
    let mut books = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let variables = json!({ "n": size, "c": cursor, "o": order });
        let page = service.data(&document, variables).await["books"].take();
        let edges = page["edges"].as_array().unwrap();
        let nodes: Vec<Value> = edges.iter().map(|edge| edge["node"].clone()).collect();
        let (more, next) = if backward {
            ("hasPreviousPage", "startCursor")
        } else {
            ("hasNextPage", "endCursor")
        };
        books.splice(if backward { 0..0 } else { books.len()..books.len() }, nodes);
        if page["pageInfo"][more] == false {
            return books;
        }
        cursor = page["pageInfo"][next].clone();
    }
}

/// With its limit as a value PostgreSQL takes any plan for the list to be a bad one, and makes one
/// each time, which takes longer than the list.
#[tokio::test(flavor = "multi_thread")]
async fn postgresql_plans_a_list_once() {
    let db = Db::postgres().await;
    let rows = (0..2000).map(|n| format!("Book {n},Author {}\n", n % 100));
    let csv = db.file("books.csv", format!("title,authors\n{}", rows.collect::<String>()));
    assert!(db.run(&["import", csv.to_str().unwrap()]).status.success());
    let arguments = ["colophon", "--database-url", &db.url, "--pool-size", "1"];
    let settings = Cli::parse_from(arguments).settings.database;
    let database = Database::open(&settings).await.unwrap();
    let session = database.reader(None);
    for limit in [10, 50].repeat(10) {
        let window = PageArgs::first(limit);
        let page = list(&session, &BookFilter::default(), BookOrder::default(), &window).await;
        assert_eq!(page.unwrap().items.len() as u64, limit);
    }
    let plans = "SELECT generic_plans, custom_plans FROM pg_prepared_statements \
                 WHERE statement LIKE '%LIMIT%' AND statement NOT LIKE '%pg_prepared%'";
    let statement = Statement::from_string(DbBackend::Postgres, plans);
    let rows = session.query_all_raw(statement).await.unwrap();
    assert_eq!(rows.len(), 1);
    let count = |column| rows[0].try_get_by_index::<i64>(column).unwrap();
    // It looks at five before it keeps one.
    assert_eq!((count(0), count(1)), (15, 5), "once for all, and each time");
}
