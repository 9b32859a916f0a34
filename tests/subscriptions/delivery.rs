//! What is delivered, on both databases.

use serde_json::{Value, json};
use testing::{
    Db, PATIENCE, on_both_databases,
    socket::{address, metric},
    sse::EventStream,
    stdout,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::timeout,
};

use crate::{ALL, KINDS, active, change, delete, follow, update};

on_both_databases! {
    async fn delivers_what_mutations_do(db: Db) {
        let service = db.serve().await;
        let mut stream = follow(&service, ALL).await;
        let alone = service.create(json!({ "title": "One" })).await;
        let book = json!({ "title": "One", "authors": [] });
        let created = json!({ "kind": "CREATED", "id": alone, "version": 1, "book": book });
        assert_eq!(change(&mut stream).await, created);
        let id = service.create(json!({ "title": "Two", "authors": [{ "name": "Ann" }] })).await;
        let book = json!({ "title": "Two", "authors": [{ "name": "Ann" }] });
        let created = json!({ "kind": "CREATED", "id": id, "version": 1, "book": book });
        assert_eq!(change(&mut stream).await, created);
        update(&service, &id, "Three").await;
        let book = json!({ "title": "Three", "authors": [{ "name": "Ann" }] });
        let updated = json!({ "kind": "UPDATED", "id": id, "version": 2, "book": book });
        assert_eq!(change(&mut stream).await, updated);
        delete(&service, &id).await;
        let deleted = json!({ "kind": "DELETED", "id": id, "version": 2, "book": null });
        assert_eq!(change(&mut stream).await, deleted);
        // What fails changes nothing.
        assert_eq!(service.code("mutation { deleteBook(id: \"book_999\") }", json!({})).await, "NOT_FOUND");
        update(&service, &alone, "Last").await;
        assert_eq!(change(&mut stream).await["version"], 2);
        drop(stream);
        active(&service, 0.0).await;
    }

    async fn filters_by_book_author_and_kind(db: Db) {
        let service = db.serve().await;
        let authors = json!([{ "name": "Ann" }, { "name": "Bob" }]);
        let one = service.create(json!({ "title": "One", "authors": authors })).await;
        let other = service.create(json!({ "title": "Other" })).await;
        let find = "query($q: String!) { authors(filter: { nameContains: $q }) { nodes { id } } }";
        let bob = service.data(find, json!({ "q": "Bob" })).await["authors"]["nodes"][0]["id"].take();

        let query = "subscription($ids: [ID!], $author: ID, $kinds: [ChangeKind!]) { \
                     bookChanged(ids: $ids, authorId: $author, kinds: $kinds) { kind id version } }";
        let open = async |variables: Value| EventStream::open(&service, query, variables).await;
        let mut of_book = open(json!({ "ids": [one] })).await;
        let mut of_author = open(json!({ "author": bob })).await;
        let mut of_kind = open(json!({ "kinds": ["DELETED"] })).await;
        let mut of_both = open(json!({ "ids": [other], "kinds": ["DELETED", "CREATED"] })).await;

        update(&service, &other, "Other 2").await;
        // Bob is no author of it any more, which he is told.
        let replace = "mutation($id: ID!) { updateBook(id: $id, input: { authors: [{ name: \"Ann\" }] }) { id } }";
        service.data(replace, json!({ "id": one })).await;
        update(&service, &one, "One 3").await;
        delete(&service, &one).await;
        delete(&service, &other).await;

        let expected = |kind, id: &str, version| json!({ "kind": kind, "id": id, "version": version });
        for stream in [&mut of_book, &mut of_author] {
            assert_eq!(change(stream).await, expected("UPDATED", &one, 2));
        }
        assert_eq!(change(&mut of_book).await, expected("UPDATED", &one, 3));
        assert_eq!(change(&mut of_book).await, expected("DELETED", &one, 3));
        assert_eq!(change(&mut of_kind).await, expected("DELETED", &one, 3));
        assert_eq!(change(&mut of_kind).await, expected("DELETED", &other, 2));
        assert_eq!(change(&mut of_both).await, expected("DELETED", &other, 2));
        let last = service.create(json!({ "title": "Last", "authors": [{ "name": "Bob" }] })).await;
        assert_eq!(change(&mut of_author).await, expected("CREATED", &last, 1));
    }

    async fn an_import_does_not_flood_subscribers(db: Db) {
        let service = db.serve().await;
        let mut stream = follow(&service, KINDS).await;
        let rows = |from: usize, to: usize| {
            let row = |number| format!("Book {number},Author {number}\n");
            "title,authors\n".to_owned() + &(from..to).map(row).collect::<String>()
        };
        let import = |from, to| {
            let file = db.file("rows.csv", rows(from, to));
            stdout(&db.run(&["import", file.to_str().unwrap()]));
        };
        import(0, 3);
        if db.is_sqlite() {
            // Another process has written, and nobody says what.
            assert_eq!(change(&mut stream).await, json!({ "kind": "REFETCH", "id": null }));
        } else {
            for id in 1..=3 {
                let created = json!({ "kind": "CREATED", "id": format!("book_{id}") });
                assert_eq!(change(&mut stream).await, created);
            }
        }
        import(3, 10_000);
        let mut refetched = 0;
        loop {
            let told = change(&mut stream).await;
            if refetched > 0 && told["kind"] == "CREATED" {
                break;
            }
            // At most one for each second of the import.
            assert_eq!(told, json!({ "kind": "REFETCH", "id": null }));
            refetched += 1;
            assert!(refetched <= 40, "as many as transactions");
            // The import is over when a change is told of by itself again.
            service.create(json!({ "title": "Last" })).await;
        }
    }

    async fn rejects_what_cannot_be_followed(db: Db) {
        let service = db.serve().await;
        let many: Vec<_> = (1..=101).map(|number| format!("book_{number}")).collect();
        for (arguments, message) in [
            ("(ids: [\"book_1\", \"author_1\"])".to_owned(), "ids.1: must be an id such as book_1"),
            ("(authorId: \"book_1\")".to_owned(), "authorId: must be an id such as author_1"),
            (format!("(ids: {many:?})"), "ids: must be at most 100"),
        ] {
            let query = format!("subscription {{ bookChanged{arguments} {{ kind }} }}");
            let response = EventStream::request(&service, &query, json!({}), None).await;
            assert_eq!(response.status(), 422, "{arguments}");
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["errors"][0]["message"], message);
            assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
            assert!(body.get("data").is_none(), "{body}");
        }
        let long = format!("subscription {{ bookChanged {{ kind }} }} # {}", "x".repeat(16_384));
        let response = EventStream::request(&service, &long, json!({}), None).await;
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED", "{body}");
        // And by what can be sent one response only.
        assert_eq!(service.code(KINDS, json!({})).await, "NOT_ACCEPTABLE");
        active(&service, 0.0).await;
    }
}

/// One execution for all, whose response all get; and another for whom not everything is the same.
#[tokio::test(flavor = "multi_thread")]
async fn executes_an_event_once_for_those_who_are_alike() {
    let service = Db::sqlite().serve().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(follow(&service, ALL).await);
    }
    let mut other = follow(&service, KINDS).await;
    service.create(json!({ "title": "One" })).await;
    for stream in &mut streams {
        assert_eq!(change(stream).await["book"]["title"], "One");
    }
    assert_eq!(change(&mut other).await["kind"], "CREATED");
    let scrape = service.scrape().await;
    let value = |name: &str| {
        let line = scrape.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!((value("graphql_server_subscription_event_duration_seconds_count{") - 2.0).abs() < 0.1);
    assert!((value("graphql_server_subscription_event_count_total{") - 6.0).abs() < 0.1);
    assert!((value("graphql_server_subscription_lag_seconds_count{") - 6.0).abs() < 0.1);
}

/// More changes than wait for a client that reads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn tells_slow_clients_that_they_missed_events() {
    let service = Db::sqlite().serve_with(&["--max-subscription-queue", "4"]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(address(&service).parse().unwrap()).await.unwrap();
    let aliases: Vec<_> = (0..25).map(|n| format!("a{n}: title")).collect();
    let aliases = aliases.join(" ");
    let query = format!("subscription {{ bookChanged {{ kind book {{ {aliases} }} }} }}");
    let body = json!({ "query": query }).to_string();
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\
                Content-Type: application/json\r\nContent-Length";
    let request = format!("{head}: {}\r\n\r\n{body}", body.len());
    client.write_all(request.as_bytes()).await.unwrap();
    active(&service, 1.0).await;

    let title = "x".repeat(400);
    let id = service.create(json!({ "title": title })).await;
    let dropped = async || metric(&service, "graphql_server_subscription_dropped_total", &[]).await;
    let mut number = 0;
    while dropped().await < 5.0 {
        number += 1;
        assert!(number < 1000, "the connection's buffers have no end");
        update(&service, &id, &format!("{title}{number}")).await;
    }
    // It gets what was on its way, and then what it missed in one.
    let (mut text, mut part) = (String::new(), vec![0; 65536]);
    let mut read_until = async |wanted: &str| {
        while !text.contains(wanted) {
            let count = timeout(PATIENCE, client.read(&mut part)).await.unwrap().unwrap();
            assert!(count > 0, "the connection was closed");
            text.push_str(&String::from_utf8_lossy(&part[..count]));
        }
    };
    read_until("REFETCH").await;
    update(&service, &id, "And then").await;
    read_until("And then").await;
}
