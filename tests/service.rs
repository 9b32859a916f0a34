//! The service as operators and clients meet it: command line, HTTP, guard, health, shutdown.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    process::Command,
    time::{Duration, Instant},
};

use reqwest::{RequestBuilder, StatusCode};
use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};
use testing::{
    Db, Service, allowed, on_both_databases, postgres::Cluster, program, stderr, stdout,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const RESPONSE_JSON: &str = "application/graphql-response+json";

/// What a request to `/graphql` is answered with.
async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {status} {text}")))
}

fn post(service: &Service, body: &Value) -> RequestBuilder {
    let url = format!("{}/graphql", service.url);
    service.client.post(url).header("accept", RESPONSE_JSON).json(body)
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{answer:#}"))
}

#[test]
fn bad_settings_end_the_process_at_once_and_are_explained() {
    for (flag, variable, value, right) in [
        ("--listen", "COLOPHON_LISTEN", "here", "127.0.0.1:8000"),
        ("--admin-listen", "COLOPHON_ADMIN_LISTEN", "127.0.0.1:99999", "127.0.0.1"),
        ("--database-url", "DATABASE_URL", "mysql://ada:s3cret@db/x", "postgres://"),
        ("--pool-size", "COLOPHON_POOL_SIZE", "0", "1..=1000"),
        ("--operation-timeout", "COLOPHON_OPERATION_TIMEOUT", "5", "500ms"),
        ("--max-nesting", "COLOPHON_MAX_NESTING", "65", "64"),
        ("--log-format", "COLOPHON_LOG_FORMAT", "xml", "json"),
        ("--log", "RUST_LOG", "a=b=c", "filter"),
        ("--sample", "COLOPHON_SAMPLE", "perhaps", "true"),
    ] {
        let by_flag = || program(&[flag, value]);
        let by_variable = || {
            let mut command = program(&["serve"]);
            command.env(variable, value);
            command
        };
        let commands: [&dyn Fn() -> Command; 2] = [&by_flag, &by_variable];
        // A switch takes no value as a flag.
        for command in &commands[usize::from(flag == "--sample")..] {
            let started = Instant::now();
            let output = command().output().unwrap();
            assert!(started.elapsed() < allowed(Duration::from_secs(1)), "{flag}");
            assert_eq!(output.status.code(), Some(2), "{flag}");
            let text = stderr(&output);
            for part in [flag, variable, right] {
                assert!(text.contains(part), "{part} is missing in: {text}");
            }
            assert!(text.contains(value) || flag == "--database-url", "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}

#[test]
fn config_shows_every_setting_with_its_origin() {
    let output = program(&["config", "--pool-size", "3"])
        .env("DATABASE_URL", "postgres://ada:s3cret@db/books")
        .env("COLOPHON_LISTEN", "127.0.0.1:81")
        .env("OTEL_SERVICE_NAME", "shelf")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret")
        .output()
        .unwrap();
    let text = stdout(&output);
    let line = |flag: &str| text.lines().find(|line| line.starts_with(flag)).unwrap().to_owned();
    assert!(line("--pool-size").contains("flag") && line("--pool-size").ends_with(" 3"));
    assert!(line("--listen").contains("environment") && line("--listen").ends_with("127.0.0.1:81"));
    assert!(line("--drain-timeout").contains("default"));
    assert!(line("--database-url").ends_with("postgres://ada:***@db/books"));
    assert!(text.contains("OTEL_SERVICE_NAME") && text.contains(" shelf\n"));
    assert!(text.contains("OTEL_EXPORTER_OTLP_HEADERS"));
    assert!(!text.contains("s3cret"));
}

#[test]
fn help_names_commands_and_variables() {
    let text = stdout(&program(&["--help"]).output().unwrap());
    for part in
        ["serve", "migrate", "import", "schema", "config", "health", "COLOPHON_ADMIN_LISTEN"]
    {
        assert!(text.contains(part), "{part}");
    }
}

#[tokio::test]
async fn an_address_in_use_and_an_unusable_file_are_told() {
    let db = Db::sqlite();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = db.run(&["serve", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address) && stderr(&output).contains("COLOPHON_LISTEN"));

    let file = db.file("broken.db", "this is no database, however long it may be ".repeat(100));
    let output = program(&["serve", "--database-url", &format!("sqlite://{}", file.display())])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("broken.db"), "{}", stderr(&output));
}

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

    async fn the_sample_fills_only_an_empty_catalogue(db: Db) {
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

    async fn in_flight_requests_are_answered_after_sigterm(db: Db) {
        let mut service = db.serve_with(&["--sample"]).await;
        let idle = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
        let mut half = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
        half.write_all(b"POST /graphql HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
        // A request whose body is still on its way when the signal comes.
        let mut slow = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
        let body = r#"{"query":"mutation { createAuthor(input: { name: \"Late\" }) { name } }"}"#;
        let head = format!("POST /graphql HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
            Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        slow.write_all(head.as_bytes()).await.unwrap();
        // The service asks for the body: it is in flight.
        let mut buffer = [0; 25];
        slow.read_exact(&mut buffer).await.unwrap();
        assert!(buffer.starts_with(b"HTTP/1.1 100 Continue"));

        let started = Instant::now();
        service.signal("-TERM");
        service.wait_for_log("the drain", |event| event["drain.signal"] == "SIGTERM");
        assert_eq!(service.readyz().await, 503);
        slow.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        slow.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("200 OK") && answer.contains("Late"), "{answer}");
        assert_eq!(service.wait().code(), Some(0));
        assert!(started.elapsed() < Duration::from_secs(10));
        drop((idle, half));
    }
}

/// The tables that are left.
async fn tables(db: &Db) -> Vec<String> {
    use sea_orm::{ConnectionTrait, Database, Statement};
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

/// What `colophon health` says of a service.
fn health(service: &Service) -> std::process::Output {
    let address = service.admin.trim_start_matches("http://");
    program(&["health", "--admin-listen", address]).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_by_the_exit_code() {
    let mut service = Db::sqlite().serve().await;
    let ready = health(&service);
    assert!(ready.status.success(), "{}", stderr(&ready));
    assert!(stdout(&ready).contains("ready"));
    service.signal("-TERM");
    service.wait();
    let gone = health(&service);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("cannot be asked"), "{}", stderr(&gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_it_is_alive_and_gets_ready_when_it_comes() {
    let cluster = Cluster::new();
    let service = cluster.db().spawn(&["--sample"]);
    let livez = service.client.get(format!("{}/livez", service.admin)).send().await.unwrap();
    assert_eq!(livez.status(), 200);
    assert_eq!(service.readyz().await, 503);
    let health = health(&service);
    assert_eq!(health.status.code(), Some(1));
    assert!(stderr(&health).contains("not ready"), "{}", stderr(&health));
    let (status, answer) =
        send(post(&service, &json!({ "query": "{ books { totalCount } }" }))).await;
    assert_eq!((status.as_u16(), code(&answer)), (503, "DATABASE_UNAVAILABLE"));
    assert!(answer.get("data").is_none() && !answer.to_string().contains("sock"), "{answer}");

    cluster.set("start");
    assert!(service.ready().await < allowed(Duration::from_secs(3)));
    service.create(json!({ "title": "One" })).await;

    cluster.set("stop");
    while service.readyz().await != 503 {}
    let started = Instant::now();
    let (status, answer) =
        send(post(&service, &json!({ "query": "{ books { totalCount } }" }))).await;
    assert_eq!((status.as_u16(), code(&answer)), (503, "DATABASE_UNAVAILABLE"));
    assert!(started.elapsed() < allowed(Duration::from_secs(2)), "pool wait and a second");
    assert!(!answer.to_string().to_lowercase().contains("postgres"), "{answer}");
    cluster.set("start");
    assert!(service.ready().await < allowed(Duration::from_secs(3)));
    service.create(json!({ "title": "Two" })).await;
    let told =
        service.log().iter().filter(|event| event["event"] == "database.unreachable").count();
    assert_eq!(told, 2, "each absence is told once, not at every try");
}

#[tokio::test]
async fn a_field_that_fails_leaves_the_others() {
    let service = Db::sqlite().serve().await;
    let answer = service
        .execute(
            "{ good: search(query: \"a\") { totalCount } bad: book(id: \"x\") { id } }",
            json!({}),
        )
        .await;
    assert_eq!(answer["data"], json!({ "good": { "totalCount": 0 }, "bad": null }), "{answer:#}");
    assert_eq!(answer["errors"][0]["path"], json!(["bad"]));
    assert_eq!(code(&answer), "BAD_USER_INPUT");
}

/// Compared as text: JSON values forget their order. Many times: it is chance that mixes it.
#[tokio::test]
async fn fields_are_answered_in_the_order_of_the_document() {
    let service = Db::sqlite().serve_with(&["--sample"]).await;
    let query = "{ s: search(query: \"emma\") { totalCount nodes { title } }
        books(first: 1) { totalCount nodes { authors { name } title } pageInfo { hasNextPage } }
        author(id: \"author_99999\") { id } bad: book(id: \"x\") { id } }";
    let expected = "{\"data\":{\"s\":{\"totalCount\":1,\"nodes\":[{\"title\":\"Emma\"}]},\
        \"books\":{\"totalCount\":109,\"nodes\":[{\"authors\":[{\"name\":\"Anonymous\"}],\
        \"title\":\"The Epic of Gilgamesh\"}],\"pageInfo\":{\"hasNextPage\":true}},\
        \"author\":null,\"bad\":null},";
    for _ in 0..100 {
        let answer = post(&service, &json!({ "query": query })).send().await.unwrap();
        let text = answer.text().await.unwrap();
        assert!(text.starts_with(expected), "{text}");
    }
}

/// Held up by a lock on the table until the service has seen that its client is gone.
#[tokio::test]
async fn a_mutation_is_finished_though_its_client_hangs_up() {
    use sea_orm::{ConnectionTrait, Database, Statement};
    let db = Db::postgres().await;
    let service = db.serve().await;
    let other = Database::connect(&db.url).await.unwrap();
    let mut lock = sea_orm::ConnectOptions::new(&db.url);
    lock.max_connections(1);
    let lock = Database::connect(lock).await.unwrap();
    lock.execute_unprepared("BEGIN; LOCK TABLE author IN EXCLUSIVE MODE").await.unwrap();

    let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
    let body = r#"{"query":"mutation { createAuthor(input: { name: \"Late\" }) { id } }"}"#;
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let waiting = "SELECT 1 AS one FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("the mutation waits", async || {
        let waiting = Statement::from_string(other.get_database_backend(), waiting);
        other.query_one_raw(waiting).await.unwrap().is_some()
    })
    .await;
    let open = sockets(&service);
    drop(stream);
    until("the service sees the hang-up", async || sockets(&service) < open).await;

    lock.execute_unprepared("COMMIT").await.unwrap();
    until("the author is there", async || {
        let data = service.data("{ authors { totalCount } }", json!({})).await;
        data["authors"]["totalCount"] == 1
    })
    .await;
}

/// Waits for a condition.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_secs(5), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How many sockets the service has open.
fn sockets(service: &Service) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", service.pid())).unwrap();
    files
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// Somebody else holds the write lock of the file for longer than an operation may take.
#[tokio::test]
async fn an_operation_that_takes_too_long_is_ended_and_leaves_no_trace() {
    use sea_orm::{ConnectionTrait, Database};
    let db = Db::sqlite();
    let service = db.serve_with(&["--operation-timeout", "300ms"]).await;
    let other = Database::connect(&db.url).await.unwrap();
    other.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let create = json!({ "query": "mutation { createBook(input: { title: \"Late\" }) { id } }" });
    let started = Instant::now();
    let (status, answer) = send(post(&service, &create)).await;
    assert_eq!((status.as_u16(), code(&answer)), (504, "TIMEOUT"));
    // Far less than the five seconds for which SQLite waits for a lock.
    assert!(started.elapsed() < Duration::from_secs(3) && answer.get("data").is_none());
    assert_eq!(service.data("{ books { totalCount } }", json!({})).await["books"]["totalCount"], 0);
    other.execute_unprepared("ROLLBACK").await.unwrap();

    // The connection whose BEGIN was cancelled comes back clean.
    let started = Instant::now();
    while send(post(&service, &create)).await.0 != 200 {
        assert!(started.elapsed() < allowed(Duration::from_secs(8)), "writes do not come back");
    }
    let data = service.data("{ books { totalCount } }", json!({})).await;
    assert_eq!(data["books"]["totalCount"], 1);
}

#[tokio::test]
async fn the_root_answers_programs_in_json() {
    let service = Db::sqlite().serve().await;
    let root = service.client.get(&service.url).send().await.unwrap();
    let status: Value = root.json().await.unwrap();
    assert_eq!(status["service"], "colophon");
    let nothing = service.client.get(format!("{}/nothing", service.url)).send().await.unwrap();
    assert_eq!(nothing.status(), 404);
    let admin = service.client.get(format!("{}/readyz", service.url)).send().await.unwrap();
    assert_eq!(admin.status(), 404, "the admin routes are not public");
}

#[tokio::test]
async fn each_request_is_logged_as_json() {
    let mut service = Db::sqlite().serve().await;
    service.data("{ __typename }", json!({})).await;
    let line = service.wait_for_log("the access line", |event| event["url.path"] == "/graphql");
    assert_eq!((&line["http.response.status_code"], &line["level"]), (&json!(200), &json!("INFO")));
    assert!(line["http.request.duration"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing_and_loses_nothing() {
    /// More lines than a pipe has room for.
    const REQUESTS: usize = 1000;
    let service = Db::sqlite().serve().await;
    let unread = service.leave_log_unread();
    for _ in 0..REQUESTS {
        let (status, _) = send(post(&service, &json!({ "query": "{ __typename }" }))).await;
        assert_eq!(status, StatusCode::OK);
    }
    drop(unread);
    let answered = || {
        let is_answer = |line: &&Value| line["event"] == "http.access";
        service.log().iter().filter(is_answer).count()
    };
    until("all lines", async || answered() == REQUESTS).await;
}

/// A document that is known is not validated again, and that changes no answer: not to variables
/// that are right, and not to those that are wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_document_is_answered_like_a_new_one() {
    const BOOKS: &str = "query($n: Int) { books(first: $n) { totalCount } }";
    const BOOK: &str = "query($id: ID!) { book(id: $id) { title } }";
    const ORDERED: &str = "query($by: BookOrder) { books(orderBy: $by) { totalCount } }";
    const CREATE: &str = "mutation($in: CreateBookInput!) { createBook(input: $in) { title } }";
    const NODES: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    const DEEP: &str = "query($n: Int) { books(first: $n) { nodes { authors { books(first: $n) {
        nodes { authors { books(first: $n) { totalCount } } } } } } } }";
    let known = Db::sqlite().serve().await;
    for (document, variables) in [
        (BOOKS, json!({ "n": 1 })),
        (BOOK, json!({ "id": "book_1" })),
        (ORDERED, json!({})),
        (CREATE, json!({ "in": { "title": "Dune" } })),
        (NODES, json!({ "ids": ["book_1"] })),
        (DEEP, json!({ "n": 1 })),
    ] {
        known.data(document, variables).await;
    }
    let new = Db::sqlite().serve().await;
    new.create(json!({ "title": "Dune" })).await;
    for (document, variables) in [
        (BOOKS, json!({ "n": 2 })),
        (BOOKS, json!({ "n": null })),
        (BOOKS, json!({ "n": "2" })),
        (BOOKS, json!({ "n": 3_000_000_000_i64 })),
        (BOOKS, json!({ "n": 1.5 })),
        (BOOKS, json!({ "n": [1] })),
        (BOOK, json!({})),
        (BOOK, json!({ "id": null })),
        (BOOK, json!({ "id": 7 })),
        (BOOK, json!({ "id": {} })),
        (ORDERED, json!({ "by": "NO_SUCH" })),
        (CREATE, json!({ "in": { "title": 1 } })),
        (CREATE, json!({ "in": { "titel": "x" } })),
        (NODES, json!({ "ids": ["book_1", null] })),
        (NODES, json!({ "ids": "book_1" })),
        (DEEP, json!({ "n": 100 })),
    ] {
        let body = json!({ "query": document, "variables": variables });
        let answer = without_trace(send(post(&known, &body)).await);
        // With a comment of its own it is a document that nobody has seen.
        let unseen = format!("{document} # {variables}");
        let body = json!({ "query": unseen, "variables": variables });
        let expected = without_trace(send(post(&new, &body)).await);
        assert_eq!(answer, expected, "{body}");
    }
}

fn without_trace((status, mut answer): (StatusCode, Value)) -> (StatusCode, Value) {
    for error in answer["errors"].as_array_mut().into_iter().flatten() {
        error["extensions"].as_object_mut().unwrap().remove("traceId");
    }
    (status, answer)
}
